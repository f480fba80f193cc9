//! The public key behind an ECDSA signature of P-256 (SEC 1, section 4.1.6).
//!
//! Google's keys are no part of the fixtures. A signature there tells which two keys can have made it, and
//! the fingerprint that Google's key is known by tells whether it is one of the two.

use std::collections::BTreeMap;
use std::sync::Mutex;

use num_bigint::BigUint;
use sha2::Digest as _;

/// The SubjectPublicKeyInfo (RFC 5480) of the key with this SHA-256 that signed `message`, in PEM. What was
/// found is kept: altered documents share the signatures of genuine ones, and finding takes long.
pub(crate) fn recover(signature: &[u8], message: &[u8], fingerprint: &str) -> Option<String> {
    type Asked = (Vec<u8>, Vec<u8>, String);
    static FOUND: Mutex<BTreeMap<Asked, Option<String>>> = Mutex::new(BTreeMap::new());
    let asked = (signature.to_vec(), message.to_vec(), fingerprint.to_owned());
    let known = FOUND.lock().unwrap().get(&asked).cloned();
    known.unwrap_or_else(|| {
        let found = compute(signature, message, fingerprint);
        FOUND.lock().unwrap().insert(asked, found.clone());
        found
    })
}

fn compute(signature: &[u8], message: &[u8], fingerprint: &str) -> Option<String> {
    let (r, s) = numbers(signature)?;
    let curve = Curve::p256();
    if [&r, &s].iter().any(|number| *number % &curve.n == BigUint::ZERO) {
        return None;
    }
    let hash = BigUint::from_bytes_be(&sha2::Sha256::digest(message));
    candidates(&curve, &r, &s, &hash).into_iter().map(|point| spki(&point)).find_map(|der| {
        let found = hex::encode(sha2::Sha256::digest(&der));
        (found == fingerprint).then(|| sigstore_verify::types::DerPublicKey::new(der).to_pem())
    })
}

/// The two numbers of a signature in DER, each of fewer than 128 bytes.
fn numbers(der: &[u8]) -> Option<(BigUint, BigUint)> {
    let [0x30, _, rest @ ..] = der else { return None };
    let [2, length, rest @ ..] = rest else { return None };
    let (r, rest) = rest.split_at_checked(usize::from(*length))?;
    let [2, _, s @ ..] = rest else { return None };
    Some((BigUint::from_bytes_be(r), BigUint::from_bytes_be(s)))
}

type Point = (BigUint, BigUint);

struct Curve {
    p: BigUint,
    b: BigUint,
    n: BigUint,
    base: Point,
}

impl Curve {
    /// P-256 (SEC 2, section 2.4.2); its coefficient a is -3.
    fn p256() -> Curve {
        let number = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16).unwrap();
        Curve {
            p: number("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
            b: number("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
            n: number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
            base: (
                number("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
                number("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
            ),
        }
    }

    fn difference(&self, one: &BigUint, other: &BigUint) -> BigUint {
        (one + &self.p - other % &self.p) % &self.p
    }

    fn add(&self, one: &Point, other: &Point) -> Point {
        let two = BigUint::from(2u8);
        let slope = if one == other {
            let three = BigUint::from(3u8);
            let above = &three * &one.0 * &one.0 + &self.p - &three;
            above * inverse(&(&two * &one.1), &self.p)
        } else {
            self.difference(&other.1, &one.1) * inverse(&self.difference(&other.0, &one.0), &self.p)
        } % &self.p;
        let x = self.difference(&self.difference(&(&slope * &slope), &one.0), &other.0);
        let y = self.difference(&(slope * self.difference(&one.0, &x)), &one.1);
        (x, y)
    }

    fn times(&self, factor: &BigUint, point: &Point) -> Point {
        let mut sum: Option<Point> = None;
        for bit in (0..factor.bits()).rev() {
            sum = sum.map(|sum| self.add(&sum, &sum));
            if factor.bit(bit) {
                sum = Some(sum.map_or_else(|| point.clone(), |sum| self.add(&sum, point)));
            }
        }
        sum.unwrap()
    }
}

/// By Fermat's little theorem: the modulus is prime.
fn inverse(number: &BigUint, modulus: &BigUint) -> BigUint {
    number.modpow(&(modulus - 2u8), modulus)
}

fn candidates(curve: &Curve, r: &BigUint, s: &BigUint, hash: &BigUint) -> [Point; 2] {
    // y² = x³ - 3x + b; p is 3 modulo 4, so that a root is a power.
    let square = (r * r * r + &curve.b + &curve.p * 3u8 - r * 3u8) % &curve.p;
    let root = square.modpow(&((&curve.p + 1u8) >> 2), &curve.p);
    let other = &curve.p - &root;
    [root, other].map(|y| {
        let by_r = inverse(r, &curve.n);
        let of_point = s * &by_r % &curve.n;
        let of_base = (&curve.n - hash % &curve.n) * by_r % &curve.n;
        curve.add(&curve.times(&of_point, &(r.clone(), y)), &curve.times(&of_base, &curve.base))
    })
}

fn spki(point: &Point) -> Vec<u8> {
    let head = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    let mut der = hex::decode(head).unwrap();
    for number in [&point.0, &point.1] {
        let bytes = number.to_bytes_be();
        der.extend(vec![0; 32 - bytes.len()]);
        der.extend(bytes);
    }
    der
}

#[test]
fn the_key_that_made_a_signature_is_found_again() {
    let key = sigstore_verify::crypto::KeyPair::generate_ecdsa_p256().unwrap();
    let der = key.public_key_der().unwrap();
    let fingerprint = hex::encode(sha2::Sha256::digest(der.as_bytes()));
    let signature = key.sign(b"a message").unwrap().into_bytes();
    assert_eq!(recover(&signature, b"a message", &fingerprint), Some(der.to_pem()));
    assert_eq!(recover(&signature, b"another message", &fingerprint), None);
}
