//! ECDSA signatures written as two numbers of fixed length (IEEE P1363, as hardware and JOSE write them), brought to the
//! form that verification takes (RFC 3279, section 2.2.3).

use x509_cert::der::Encode;
use x509_cert::der::asn1::{SequenceOf, UintRef};

/// The lengths of two numbers of P-256, P-384 and P-521, in bytes.
const LENGTHS: [usize; 3] = [64, 96, 132];

/// The pair as a DER sequence; `None` for what cannot be a pair.
pub(crate) fn to_der(signature: &[u8]) -> Option<Vec<u8>> {
    if !LENGTHS.contains(&signature.len()) {
        return None;
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let mut pair = SequenceOf::<UintRef<'_>, 2>::new();
    pair.add(UintRef::new(r).ok()?).ok()?;
    pair.add(UintRef::new(s).ok()?).ok()?;
    pair.to_der().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_pair_becomes_a_sequence_of_two_numbers() {
        let mut pair = [0; 64];
        (pair[31], pair[32]) = (7, 0x80);
        let mut expected = vec![0x30, 0x26, 2, 1, 7, 2, 0x21, 0, 0x80];
        expected.extend([0; 31]);
        assert_eq!(to_der(&pair), Some(expected));
        assert_eq!(to_der(&pair[1..]), None);
        assert_eq!(to_der(&[]), None);
    }
}
