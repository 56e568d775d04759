//! The benchmark's runner is in order: its own tests pass, here with the Python that is installed.
//! Nothing is measured.

use std::process::Command;

#[test]
fn the_runner_of_the_benchmarks_passes_its_own_tests() {
    let output = Command::new("python3")
        .args(["-m", "unittest", "discover", "-s", "tests/bench"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("python3 is installed, as tests/run.sh sees to");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
