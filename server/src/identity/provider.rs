//! ring as the cryptography of the crate `jsonwebtoken`: signatures are checked with it, and
//! nothing is signed.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, signature};
use ring::signature::{
    self as schemes, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Verifier { algorithm: *algorithm, scheme: scheme(*algorithm)?, key: key.clone() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the cryptography of this process. Calls after the first one change nothing.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

#[derive(Clone, Copy)]
enum Scheme {
    Rsa(&'static RsaParameters),
    Other(&'static dyn VerificationAlgorithm),
}

struct Verifier {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

/// Keys of fewer than 2048 bits aren't good for any of these.
fn scheme(algorithm: Algorithm) -> Result<Scheme, Error> {
    Ok(match algorithm {
        Algorithm::RS256 => Scheme::Rsa(&schemes::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&schemes::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&schemes::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Scheme::Rsa(&schemes::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Scheme::Rsa(&schemes::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Scheme::Rsa(&schemes::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Scheme::Other(&schemes::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Scheme::Other(&schemes::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Scheme::Other(&schemes::ED25519),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    })
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let good = match (self.scheme, self.key.kind()) {
            (Scheme::Rsa(scheme), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(scheme, message, signature)
            }
            (Scheme::Other(scheme), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(scheme, key).verify(message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        good.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
