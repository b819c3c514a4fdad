//! JSON Web Tokens: whose, and whether the signature is right. What is said in them is looked at
//! after that, in `claims.rs`.

use super::jwks::Jwks;
use super::{BadToken, MAX_TOKEN_BYTES, provider};
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a token says, once its signature was found right.
pub(super) type TokenClaims = Map<String, Value>;

/// Why a signature isn't right.
#[derive(Debug)]
pub(super) enum Unverified {
    /// The issuer may have a new key, of this name.
    UnknownKey(String),
    Bad(BadToken),
}

/// The issuer that a token names. Nothing is believed of that: it only says whose keys to use.
pub(super) fn issuer_of(token: &str) -> Result<String, BadToken> {
    #[derive(Deserialize)]
    struct Issued {
        iss: String,
    }
    if token.len() > MAX_TOKEN_BYTES {
        let why = format!("it has {} bytes; none is longer than {MAX_TOKEN_BYTES}", token.len());
        return Err(BadToken::Invalid(why));
    }
    let issued: Issued = insecure_decode_claims(token).map_err(|_| {
        BadToken::invalid("it isn't a JWT with a claim iss: three parts in base64url, with dots between")
    })?;
    Ok(issued.iss)
}

/// What a token says, if one of these keys has signed it.
pub(super) fn verify(token: &str, keys: &Jwks) -> Result<TokenClaims, Unverified> {
    provider::install();
    let bad = |why: &str| Unverified::Bad(BadToken::invalid(why));
    let header = decode_header(token).map_err(|_| bad("its header isn't one of a JWT with a known algorithm"))?;
    if header.crit.is_some() {
        return Err(bad("its header has crit, which names something that this server doesn't know"));
    }
    let Some(key) = keys.find(header.kid.as_deref()) else {
        return Err(match header.kid {
            Some(kid) => Unverified::UnknownKey(kid),
            None => bad("its header names no key (kid), and its issuer has several"),
        });
    };
    if !key.algorithms.contains(&header.alg) {
        return Err(bad("its algorithm isn't one of the key that it names"));
    }
    let mut validation = Validation::new(header.alg);
    validation.algorithms = vec![header.alg];
    // All of that is in claims.rs, with a clock that is an argument.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    decode(token, &key.decoding, &validation).map(|token| token.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => bad("its signature is wrong"),
        _ => bad("it can't be read"),
    })
}
