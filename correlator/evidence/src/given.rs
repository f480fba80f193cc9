//! A signature as it was given, with what it is over; and the same with the scheme by which a signer's key made it.

use sigstore_verify::types::Bundle;

use crate::bundle::{Content, UnverifiedBundle};
use crate::older_entry::LoggedContent;
use crate::proof::Artifact;
use crate::refusal::{Failed, Step};
use crate::scheme::Scheme;
use crate::signature::{Signed, Unfitting};

/// A signature and what it is over. Nothing about it is proven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) unverified: &'a UnverifiedBundle,
    pub(crate) artifact: Artifact<'a>,
    pub(crate) bytes: &'a [u8],
    /// The artifact itself, or the encoding of the envelope.
    pub(crate) signed: Signed<'a>,
}

impl<'a> Given<'a> {
    pub(crate) fn bundle(&self) -> &'a Bundle {
        &self.unverified.bundle
    }

    /// What its timestamps are over: the signature, or more that holds it.
    pub(crate) fn stamped(&self) -> &'a [u8] {
        self.unverified.stamped.as_deref().unwrap_or(self.bytes)
    }

    /// Whether its timestamps are over more than itself, for which the verifying crate has no words.
    pub(crate) fn is_more_stamped(&self) -> bool {
        self.stamped() != self.bytes
    }

    /// What a log entry of an older kind must be about.
    pub(crate) fn logged_content(&self) -> LoggedContent<'a> {
        match &self.unverified.content {
            Content::Envelope(envelope) => LoggedContent::Envelope(envelope),
            Content::Message => LoggedContent::Signature { bytes: self.bytes, signed: self.signed },
        }
    }
}

/// A signature with the key that is said to have made it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature<'a> {
    pub(crate) given: Given<'a>,
    /// The scheme by which the signer's key made it, where it did.
    pub(crate) scheme: Result<Scheme, Unfitting>,
    /// The signer's key (SubjectPublicKeyInfo in DER).
    pub(crate) key: &'a [u8],
}

impl Signature<'_> {
    /// Checks that the signer's key made it.
    pub(crate) fn fitted(&self) -> Result<Scheme, Failed> {
        self.scheme.map_err(|unfitting| Failed::at(Step::Signature, unfitting.refused()))
    }
}
