//! A password under a server's RSA key, for logins over a way that others may read.

use mysql_common::crypto::{
    der::{PubKeyFileType, parse_pub_key},
    rsa::{GetRandom, Pkcs1OaepPadding, PublicKey},
};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

/// The most bytes of a key: 16,384 bits. More would keep us calculating.
const LONGEST_MODULUS: usize = 2 << 10;

/// The most bytes of a key's other part, which is 65537 as a rule.
const LONGEST_EXPONENT: usize = 8;

/// What OAEP's padding takes.
const PADDING: usize = 42;

/// What is to be sent; none where that is no key, or too short a one. Whatever the server sent.
pub(super) fn encrypted(secret: &[u8], pem: &[u8]) -> Option<Vec<u8>> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    // The parser below panics at what it doesn't expect: it is looked at before.
    let [modulus, exponent] = numbers(&der)?;
    if modulus.len() > LONGEST_MODULUS || exponent.len() > LONGEST_EXPONENT {
        return None;
    }
    let (modulus, exponent) = parse_pub_key(&der, PubKeyFileType::Pkcs8);
    let key = PublicKey::new(modulus, exponent);
    if key.num_octets() < secret.len() + PADDING {
        return None;
    }
    Some(key.encrypt_block(secret, Pkcs1OaepPadding::new(GetRandom)))
}

/// The key's two numbers within its DER form.
fn numbers(der: &[u8]) -> Option<[&[u8]; 2]> {
    let (key, _) = element(der, 0x30)?;
    let (_algorithm, rest) = element(key, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    let (&unused, bits) = bits.split_first()?;
    let (numbers, _) = element(bits, 0x30).filter(|_| unused == 0)?;
    let (modulus, rest) = element(numbers, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    Some([modulus, exponent])
}

/// An element's content, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7F => (length.into(), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked((length & 3).into())?;
            (bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2,048 bits, as MySQL makes them.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxSKOcxiet8lLMn8ImyUE
bGGKob5EdRz/4wdiw12ED0GfKKTKhVnodFCfm1mdy7bKOX5QxL9skrvYodpW43eR
R5bfOzIgy1qIB8RYb6qOXRBw1oA4snBDqtUjDv/lbHLJN+IbzM4oU+e3Lt9rXyLX
VY289ewONPweXHqSCnTL91w+wkU1peIFV2QhZ+upUCdCtwOn5hnJPNgxtbklFoya
C8W3Z7Xx7He2QDJsEWAqX197efw0L6j8X8Tyd8Uwb7zUB1tfMGhHfm9EwejPAtzx
4GztQNtNMtGS2oGZLQBLV9hib4dDL92iiZeckg2LAf4GsJofLLR8mcHCRoqVbQJ1
YQIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn a_password_goes_under_a_key() {
        assert_eq!(encrypted(b"secret\0", KEY.as_bytes()).unwrap().len(), 256);
        assert!(encrypted(&[b'x'; 256 - PADDING], KEY.as_bytes()).is_some());
        assert!(encrypted(&[b'x'; 256 - PADDING + 1], KEY.as_bytes()).is_none());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for pem in ["", "-----BEGIN PUBLIC KEY-----", &KEY[..200], &KEY.replace("MIIB", "MIIC")] {
            assert!(encrypted(b"secret\0", pem.as_bytes()).is_none(), "{pem}");
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(KEY.as_bytes()).unwrap();
        for length in 0..der.len() {
            assert!(numbers(&der[..length]).is_none(), "{length}");
        }
    }
}
