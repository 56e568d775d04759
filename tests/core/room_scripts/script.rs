//! Reads a script, plays it and compares: knows lines, not rooms.

use std::fmt::Write;

/// Cases of blocks, as written.
pub struct Script<'a> {
    cases: Vec<Case<'a>>,
    /// What stands before the first case.
    preamble: Vec<&'a str>,
}

struct Case<'a> {
    heading: &'a str,
    blocks: Vec<Block<'a>>,
}

/// Lines up to `---` and what is expected after it, which ends at a blank line.
struct Block<'a> {
    line: usize,
    /// Commands, comments and blank lines.
    above: Vec<&'a str>,
    expected: Vec<&'a str>,
}

/// What came of playing a script.
pub struct Played {
    /// The script with what really happened as its expectations.
    pub text: String,
    /// One for each block that went differently, each beginning with its line.
    pub differences: Vec<String>,
}

impl<'a> Script<'a> {
    /// `Err` says in which line what is wrong.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut script = Self {
            cases: Vec::new(),
            preamble: Vec::new(),
        };
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim_end()));
        let mut above = Vec::new();
        while let Some((number, line)) = lines.next() {
            if line.starts_with("==") {
                script.keep_idle_lines(number, &mut above)?;
                script.cases.push(Case {
                    heading: line,
                    blocks: Vec::new(),
                });
            } else if line == "---" {
                let case = script
                    .cases
                    .last_mut()
                    .ok_or(format!("{number}: a block outside a case"))?;
                let expected = lines
                    .by_ref()
                    .map(|(_, line)| line)
                    .take_while(|line| !line.is_empty())
                    .collect();
                case.blocks.push(Block {
                    line: number,
                    above: std::mem::take(&mut above),
                    expected,
                });
            } else {
                above.push(line);
            }
        }
        script.keep_idle_lines(text.lines().count(), &mut above)?;
        Ok(script)
    }

    /// Keeps comments and blank lines that no block follows.
    fn keep_idle_lines(&mut self, line: usize, above: &mut Vec<&'a str>) -> Result<(), String> {
        if above.iter().any(|line| is_command(line)) {
            return Err(format!("{line}: the commands above have no `---`"));
        }
        let above = std::mem::take(above);
        match self.cases.last_mut() {
            Some(case) => case.blocks.push(Block {
                line,
                above,
                expected: Vec::new(),
            }),
            None => self.preamble = above,
        }
        Ok(())
    }

    /// Runs every command; `run` is told whether a case starts with it.
    pub fn play(
        &self,
        mut run: impl FnMut(bool, &str) -> Result<Vec<String>, String>,
    ) -> Result<Played, String> {
        let mut played = Played {
            text: String::new(),
            differences: Vec::new(),
        };
        put(&mut played.text, &self.preamble);
        for case in &self.cases {
            put(&mut played.text, &[case.heading]);
            let mut case_starts = true;
            for block in &case.blocks {
                put(&mut played.text, &block.above);
                let commands: Vec<_> = block.above.iter().filter(|line| is_command(line)).collect();
                if commands.is_empty() {
                    continue;
                }
                let mut actual = Vec::new();
                for command in commands {
                    let effects = run(std::mem::take(&mut case_starts), command);
                    actual.extend(
                        effects.map_err(|fault| format!("{}: {command}: {fault}", block.line))?,
                    );
                }
                put(&mut played.text, &["---"]);
                put(&mut played.text, &actual);
                played.text.push('\n');
                if block.expected != actual {
                    played
                        .differences
                        .push(difference(case.heading, block, &actual));
                }
            }
        }
        played.text.truncate(played.text.trim_end().len());
        played.text.push('\n');
        Ok(played)
    }
}

fn is_command(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn put(text: &mut String, lines: &[impl AsRef<str>]) {
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
}

/// The block with `-` before what was expected and `+` before what happened instead.
fn difference(heading: &str, block: &Block<'_>, actual: &[String]) -> String {
    let mut shown = format!(
        "{}: {}\n",
        block.line,
        heading.trim_start_matches('=').trim()
    );
    for line in block.above.iter().filter(|line| is_command(line)) {
        writeln!(shown, "    {line}").expect("a string takes everything");
    }
    shown.push_str("    ---\n");
    for (mark, line) in diff(&block.expected, actual) {
        writeln!(shown, "  {mark} {line}").expect("a string takes everything");
    }
    shown
}

/// The shortest edit between two short texts, by their longest common subsequence.
fn diff<'l>(expected: &[&'l str], actual: &'l [String]) -> Vec<(char, &'l str)> {
    let mut common = vec![vec![0; actual.len() + 1]; expected.len() + 1];
    for e in (0..expected.len()).rev() {
        for a in (0..actual.len()).rev() {
            common[e][a] = if expected[e] == actual[a] {
                common[e + 1][a + 1] + 1
            } else {
                common[e + 1][a].max(common[e][a + 1])
            };
        }
    }
    let (mut e, mut a, mut lines) = (0, 0, Vec::new());
    while e < expected.len() || a < actual.len() {
        if e < expected.len() && a < actual.len() && expected[e] == actual[a] {
            lines.push((' ', expected[e]));
            (e, a) = (e + 1, a + 1);
        } else if a == actual.len() || (e < expected.len() && common[e + 1][a] >= common[e][a + 1])
        {
            lines.push(('-', expected[e]));
            e += 1;
        } else {
            lines.push(('+', actual[a].as_str()));
            a += 1;
        }
    }
    lines
}

#[test]
fn a_script_that_is_right_plays_to_itself() {
    let text = "# why\n\n== echo\n# says it\nhi\n---\nhi\n\nyo\n---\nyo\n\n== silence\nhush\n---\n";
    let script = Script::parse(text).unwrap();
    let played = script
        .play(|_, command| {
            Ok(if command == "hush" {
                vec![]
            } else {
                vec![command.into()]
            })
        })
        .unwrap();
    assert_eq!(played.text, text);
    assert!(played.differences.is_empty());
}

#[test]
fn a_difference_shows_both_sides_in_place() {
    let script = Script::parse("== case\ngo\n---\none\ntwo\nthree\n").unwrap();
    let happened = ["one", "2", "three"];
    let played = script
        .play(|_, _| Ok(happened.map(String::from).to_vec()))
        .unwrap();
    assert_eq!(
        played.differences,
        ["3: case\n    go\n    ---\n    one\n  - two\n  + 2\n    three\n"]
    );
}
