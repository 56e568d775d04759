//! HS256, the one algorithm of our tokens, as jsonwebtoken's provider of cryptography.
//!
//! The library's own providers bring RSA, ECDSA and EdDSA, a third of the time that the
//! dependencies took to compile; none of it could be reached, because [`super::Auth`] pins the
//! algorithm. The primitives are those of RustCrypto, as in the library's provider, and the
//! comparison takes the same time for every signature.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use sha2::Sha256;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory,
    verifier_factory,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes jsonwebtoken use this module, for the whole process. Doing it again changes nothing.
pub fn install() {
    // An error means that a provider is installed, and nothing else here installs one.
    let _ = PROVIDER.install_default();
}

/// HMAC-SHA-256 under one key, with no message yet.
struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, key: &[u8]) -> Result<Self> {
        if algorithm != Algorithm::HS256 || family != AlgorithmFamily::Hmac {
            return Err(new_error(ErrorKind::InvalidAlgorithm));
        }
        Hmac::new_from_slice(key)
            .map(Self)
            .map_err(|_| new_error(ErrorKind::InvalidKeyFormat))
    }

    fn of(&self, message: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(message)
    }
}

fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Ok(Box::new(Hs256::new(
        *algorithm,
        key.family(),
        key.as_bytes(),
    )?))
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    Ok(Box::new(Hs256::new(
        *algorithm,
        key.family(),
        key.try_get_as_bytes()?,
    )?))
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.of(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.of(message)
            .verify_slice(signature)
            .map_err(Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231, section 4.3.
    const KEY: &[u8] = b"Jefe";
    const MESSAGE: &[u8] = b"what do ya want for nothing?";
    const MAC: [u8; 32] = [
        0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75,
        0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec,
        0x38, 0x43,
    ];

    #[test]
    fn signatures_are_those_of_the_rfc() {
        let signer = signer_factory(&Algorithm::HS256, &EncodingKey::from_secret(KEY))
            .expect("a key of any length");
        assert_eq!(
            signer.try_sign(MESSAGE).expect("HMAC signs any message"),
            MAC
        );
    }

    #[test]
    fn only_the_whole_signature_of_the_same_message_under_the_same_key_is_good() {
        let good = |key: &[u8], message: &[u8], mac: &[u8]| {
            let verifier =
                verifier_factory(&Algorithm::HS256, &DecodingKey::from_secret(key)).expect("a key");
            verifier.verify(message, &mac.to_vec()).is_ok()
        };
        assert!(good(KEY, MESSAGE, &MAC));
        assert!(!good(b"jefe", MESSAGE, &MAC));
        assert!(!good(KEY, b"what do ya want for nothing", &MAC));
        for cut in [0, 1, 16, 31] {
            assert!(!good(KEY, MESSAGE, &MAC[..cut]), "{cut} bytes");
        }
        assert!(!good(KEY, MESSAGE, &[&MAC[..], &[0]].concat()));
        for at in 0..MAC.len() {
            let mut wrong = MAC;
            wrong[at] ^= 1;
            assert!(!good(KEY, MESSAGE, &wrong), "byte {at}");
        }
    }

    #[test]
    fn no_other_algorithm_and_no_key_of_another_kind_is_taken() {
        let (encoding, decoding) = (EncodingKey::from_secret(KEY), DecodingKey::from_secret(KEY));
        for algorithm in [
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::RS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
        ] {
            assert!(
                signer_factory(&algorithm, &encoding).is_err(),
                "{algorithm:?}"
            );
            assert!(
                verifier_factory(&algorithm, &decoding).is_err(),
                "{algorithm:?}"
            );
        }
        assert!(signer_factory(&Algorithm::HS256, &EncodingKey::from_rsa_der(KEY)).is_err());
        assert!(verifier_factory(&Algorithm::HS256, &DecodingKey::from_rsa_der(KEY)).is_err());
    }
}
