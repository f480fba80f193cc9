//! Parts that belong together, taken from another genuine piece: every combination of them, so that verification must
//! find what is left not to fit.

use crate::altered::cases::{Case, SIGNATURE};
use crate::altered::json::Change;
use crate::altered::spans::{Node, holds_nothing, nodes};
use crate::altered::{Alteration, Edit};
use crate::genuine::Piece;

#[derive(Debug, Clone, Copy)]
enum Part {
    /// One entry of the layer, under one of these places.
    Layer(&'static [&'static str]),
    Annotation(&'static str),
}

type Parts = &'static [(&'static str, Part)];

const OF_ENVELOPE_BUNDLE: Parts = &[
    ("certificate", MATERIAL),
    ("log entries", ENTRIES),
    ("timestamps", TIMESTAMPS),
    ("payload", Part::Layer(&["/dsseEnvelope/payload"])),
    ("signature", Part::Layer(&["/dsseEnvelope/signatures"])),
];
const OF_MESSAGE_BUNDLE: Parts = &[
    ("certificate", MATERIAL),
    ("log entries", ENTRIES),
    ("timestamps", TIMESTAMPS),
    (DIGEST, Part::Layer(&["/messageSignature/messageDigest"])),
    ("signature", Part::Layer(&["/messageSignature/signature"])),
];
/// By which of its digests a file is identified: of one file there are several true ones.
const DIGEST: &str = "digest";
const MATERIAL: Part = Part::Layer(&[
    "/verificationMaterial/certificate",
    "/verificationMaterial/x509CertificateChain",
    "/verificationMaterial/publicKey",
]);
const ENTRIES: Part = Part::Layer(&["/verificationMaterial/tlogEntries"]);
const TIMESTAMPS: Part = Part::Layer(&["/verificationMaterial/timestampVerificationData"]);

const OF_ENTRY: Parts = &[
    ("body", Part::Layer(&["/verificationMaterial/tlogEntries/0/canonicalizedBody"])),
    ("proof", Part::Layer(&["/verificationMaterial/tlogEntries/0/inclusionProof"])),
    ("promise", Part::Layer(&["/verificationMaterial/tlogEntries/0/inclusionPromise"])),
    ("index", Part::Layer(&["/verificationMaterial/tlogEntries/0/logIndex"])),
    ("time", Part::Layer(&["/verificationMaterial/tlogEntries/0/integratedTime"])),
    ("log", Part::Layer(&["/verificationMaterial/tlogEntries/0/logId"])),
];

const OF_PYTHON_ATTESTATION: Parts = &[
    ("certificate", Part::Layer(&["/verification_material/certificate"])),
    ("log entries", Part::Layer(&["/verification_material/transparency_entries"])),
    ("payload", Part::Layer(&["/envelope/statement"])),
    ("signature", Part::Layer(&["/envelope/signature"])),
];

const OF_ENVELOPE: Parts = &[
    ("payload", Part::Layer(&["/payload"])),
    ("signature", Part::Layer(&["/signatures/0/sig"])),
    ("key id", Part::Layer(&["/signatures/0/keyid"])),
    ("certificate in the envelope", Part::Layer(&["/signatures/0/cert"])),
    ("certificate", Part::Annotation("dev.sigstore.cosign/certificate")),
    ("chain", Part::Annotation("dev.sigstore.cosign/chain")),
    ("log entry", Part::Annotation("dev.sigstore.cosign/bundle")),
    ("timestamp", Part::Annotation("dev.sigstore.cosign/rfc3161timestamp")),
];

const OF_IMAGE_SIGNATURE: Parts = &[
    ("payload", Part::Layer(&[""])),
    ("signature", Part::Annotation(SIGNATURE)),
    ("certificate", Part::Annotation("dev.sigstore.cosign/certificate")),
    ("chain", Part::Annotation("dev.sigstore.cosign/chain")),
    ("log entry", Part::Annotation("dev.sigstore.cosign/bundle")),
];

const OF_CLOUD_BUILD: Parts = &[
    ("summary", Part::Layer(&["/image_summary"])),
    ("text", Part::Layer(&["/provenance_summary/provenance/0/build"])),
    ("resource", Part::Layer(&["/provenance_summary/provenance/0/resourceUri"])),
    ("payload", Part::Layer(&["/provenance_summary/provenance/0/envelope/payload"])),
    ("signatures", Part::Layer(&["/provenance_summary/provenance/0/envelope/signatures"])),
];

/// Every combination of the parts in which the two pieces differ, but for all of them: that is the donor itself.
pub(crate) fn swaps(own: &Case, donor: &Case, number: usize) -> Vec<Alteration> {
    let tables: &[Parts] = match own.form {
        "bundle of an envelope" => &[OF_ENVELOPE_BUNDLE, OF_ENTRY],
        "bundle of a file's signature" | "bundle of a signature" => &[OF_MESSAGE_BUNDLE, OF_ENTRY],
        "Python attestation" => &[OF_PYTHON_ATTESTATION],
        "image signature" => &[OF_IMAGE_SIGNATURE],
        "document of Google Cloud Build" => &[OF_CLOUD_BUILD],
        _ => &[OF_ENVELOPE],
    };
    let (own_nodes, donor_nodes) = (nodes(own.text()), nodes(donor.text()));
    let mut found = Vec::new();
    for parts in tables {
        let differing: Vec<(&str, Vec<Edit>)> = parts
            .iter()
            .filter_map(|(name, part)| Some((*name, taken(*part, own, &own_nodes, donor, &donor_nodes)?)))
            .collect();
        for chosen in 1..(1_usize << differing.len()).saturating_sub(1) {
            let is_chosen = |at: usize| chosen >> at & 1 == 1;
            let of_it = differing.iter().enumerate().filter(|(at, _)| is_chosen(*at));
            let names: Vec<&str> = of_it.clone().map(|(_, (name, _))| *name).collect();
            let mut kept = differing.iter().enumerate().filter(|(at, _)| !is_chosen(*at));
            let is_rest = kept.all(|(_, (name, edits))| {
                *name == DIGEST || edits.iter().all(|edit| adds(edit, &own.piece, &own_nodes))
            });
            found.push(Alteration {
                change: Change::Swapped,
                place: format!("{} of donor {number}, {}", names.join(" and "), donor.name),
                edits: of_it.flat_map(|(_, (_, edits))| edits.clone()).collect(),
                donor: is_rest.then_some(number),
            });
        }
    }
    found
}

/// Whether an edit puts a part where the piece has none, or one that holds nothing: without it, what is left is not the
/// piece's.
fn adds(edit: &Edit, own: &Piece, own_nodes: &[Node]) -> bool {
    match edit {
        Edit::Layer(at, _) => {
            let text = own.raw.as_deref().unwrap();
            let mut parts = own_nodes.iter().filter(|node| node.member == *at);
            at.is_empty() || parts.any(|part| holds_nothing(text, own_nodes, part))
        }
        Edit::Annotation(key, _) => !own.annotations.contains_key(key),
        Edit::Artifact(_) => false,
    }
}

#[test]
fn what_holds_nothing_is_no_part_of_the_piece() {
    let text = br#"{"material":{"timestamps":{"rfc":[]},"entries":[{"index":"1"}]}}"#;
    let own = Piece {
        name: "own".to_owned(),
        media_type: "any",
        document: serde_json::Value::Null,
        raw: Some(text.to_vec()),
        annotations: [("certificate".to_owned(), "any".to_owned())].into(),
        artifact: None,
        trust: std::sync::Arc::new(evidence::TrustSet::new(vec![], vec![]).unwrap()),
    };
    let own_nodes = nodes(text);
    let member = |place: &str| own_nodes.iter().find(|node| node.place == place).unwrap().member.clone();
    let is_added = |at: std::ops::Range<usize>| adds(&Edit::Layer(at, b"any".to_vec()), &own, &own_nodes);
    assert!(is_added(1..1));
    assert!(is_added(member("/material/timestamps")));
    assert!(!is_added(member("/material/entries")));
    assert!(!is_added(member("/material")));
    let is_annotated =
        |key: &str| adds(&Edit::Annotation(key.to_owned(), "other".to_owned()), &own, &own_nodes);
    assert!(is_annotated("log entry"));
    assert!(!is_annotated("certificate"));
}

/// The edit that takes the donor's part; `None` where the donor has none, or the same.
fn taken(
    part: Part,
    own: &Case,
    own_nodes: &[Node],
    donor: &Case,
    donor_nodes: &[Node],
) -> Option<Vec<Edit>> {
    match part {
        Part::Annotation(key) => {
            let theirs = donor.piece.annotations.get(key).filter(|text| !text.is_empty())?;
            (own.piece.annotations.get(key) != Some(theirs))
                .then(|| vec![Edit::Annotation(key.to_owned(), theirs.clone())])
        }
        Part::Layer(places) => {
            let there = |nodes: &[Node]| {
                places.iter().find_map(|place| nodes.iter().position(|node| node.place == *place))
            };
            let theirs = &donor_nodes[there(donor_nodes)?];
            if holds_nothing(donor.text(), donor_nodes, theirs) {
                return None;
            }
            let theirs = &donor.text()[theirs.member.clone()];
            if let Some(ours) = there(own_nodes) {
                let ours = own_nodes[ours].member.clone();
                return (&own.text()[ours.clone()] != theirs)
                    .then(|| vec![Edit::Layer(ours, theirs.to_vec())]);
            }
            // The piece has no such part: the donor's is put first into the object around it.
            let (around, _) = places[0].rsplit_once('/')?;
            let around = own_nodes.iter().find(|node| node.place == around)?.at.start + 1;
            Some(vec![Edit::Layer(around..around, [theirs, b","].concat())])
        }
    }
}
