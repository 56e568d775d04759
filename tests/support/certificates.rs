//! An authority of its own, and certificates that it signs. Gone when dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub struct Authority {
    dir: TempDir,
}

/// The files of a server's certificate and of its key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// `Err` says why there can be none here.
    pub fn new() -> Result<Self, String> {
        let dir = TempDir::new().expect("a folder for certificates");
        if Command::new("openssl").arg("version").output().is_err() {
            return Err("no openssl is installed".to_owned());
        }
        let authority = Self { dir };
        let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                    -subj /CN=authority -keyout ca.key -out ca.pem";
        authority.openssl(args);
        Ok(authority)
    }

    /// The certificate that trusts all that this authority signs.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for these names, such as `IP:127.0.0.1,DNS:localhost`.
    pub fn certify(&self, names: &str) -> Certificate {
        let name: String = names.chars().filter(char::is_ascii_alphanumeric).collect();
        let path = |ending: &str| self.dir.path().join(format!("{name}.{ending}"));
        std::fs::write(path("ext"), format!("subjectAltName={names}\n")).expect("a file of names");
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout {name}.key \
             -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext \
             -out {name}.pem"
        ));
        Certificate {
            certificate: path("pem"),
            key: path("key"),
        }
    }

    fn openssl(&self, args: &str) {
        let mut openssl = Command::new("openssl");
        let made = openssl
            .current_dir(self.dir.path())
            .args(args.split_whitespace())
            .output()
            .expect("openssl runs");
        assert!(
            made.status.success(),
            "openssl {args}: {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }
}

impl Certificate {
    /// What `redis-server` is started with to take TLS at this port.
    pub fn redis_options(&self, authority: &Path, port: u16) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", text(&self.certificate)),
            ("--tls-key-file", text(&self.key)),
            ("--tls-ca-cert-file", text(authority)),
            ("--tls-auth-clients", "no".to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}
