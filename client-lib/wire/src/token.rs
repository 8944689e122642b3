//! The secret that lets another process import an object.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const TOKEN_BYTES: usize = 16;

/// A secret of 128 random bits that stands for the right to import one object.
///
/// Whoever has it may import the object, so `Debug` does not show it; `Display` does, as 32
/// hexadecimal digits, for handing it on.
///
/// # Example
///
/// ```
/// use bo_wire::Token;
///
/// let token = Token::from_bytes([0xa5; 16]);
/// assert_eq!(token.to_string(), "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5");
/// assert_eq!(token.to_string().parse(), Ok(token));
/// assert_eq!(format!("{token:?}"), "Token(redacted)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token([u8; TOKEN_BYTES]);

impl Token {
    /// The token with these bits, which whoever calls took from a good random source.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; TOKEN_BYTES]) -> Token {
        Token(bytes)
    }

    /// The secret itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; TOKEN_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for Token {
    type Err = ParseTokenError;

    /// Reads 32 hexadecimal digits, upper or lower case.
    fn from_str(text: &str) -> Result<Token, ParseTokenError> {
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() != 2 * TOKEN_BYTES || !hexadecimal {
            return Err(ParseTokenError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| ParseTokenError)?;
        Ok(Token(number.to_be_bytes()))
    }
}

/// A text that is no token. It does not repeat the text, which may be most of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a token is 32 hexadecimal digits")]
pub struct ParseTokenError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leading_zeros_are_shown() {
        assert_eq!(Token::from_bytes([0; 16]).to_string(), "0".repeat(32));
    }

    #[test]
    fn other_texts_cannot_be_tokens() {
        let digits = "0123456789abcdef0123456789abcdef";
        let signed = format!("+{}", &digits[1..]);
        for text in ["", &digits[1..], &format!("{digits}0"), &signed, &"é".repeat(16)] {
            assert_eq!(text.parse::<Token>(), Err(ParseTokenError));
        }
    }

    #[test]
    fn a_token_cannot_be_seen_in_debug_output() {
        let token = Token::from_bytes([0xa5; 16]);
        assert!(!format!("{:?}", Some(token)).contains("a5"));
    }

    proptest! {
        #[test]
        fn every_token_reads_back(bytes: [u8; 16]) {
            let token = Token::from_bytes(bytes);
            prop_assert_eq!(token.to_string().parse(), Ok(token));
            prop_assert_eq!(token.to_string().to_uppercase().parse(), Ok(token));
        }
    }
}
