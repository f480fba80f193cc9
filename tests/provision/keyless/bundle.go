package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/digitorus/timestamp"
)

// The parts of a bundle that a request may leave out.
const (
	partCertificateProof = "certificate_proof"
	partLogEntry         = "log_entry"
	partPromise          = "inclusion_promise"
	partInclusionProof   = "inclusion_proof"
	partTimestamp        = "timestamp"
)

var parts = []string{partCertificateProof, partLogEntry, partPromise, partInclusionProof, partTimestamp}

// request asks for one signature by one identity.
type request struct {
	Identity identity `json:"identity"`
	// SignedAt is when the log and the timestamp see it; absent: now. The certificate begins a second before.
	SignedAt *time.Time `json:"signed_at"`
	// Payload is signed in a DSSE envelope of the type PayloadType; Artifact is signed as it is. Exactly one.
	Payload     []byte `json:"payload"`
	PayloadType string `json:"payload_type"`
	Artifact    []byte `json:"artifact"`
	// Omit names parts to leave out.
	Omit []string `json:"omit"`
}

// made is the answer to a request.
type made struct {
	Bundle map[string]any `json:"bundle"`
	// Annotations are those that cosign's older format puts on a layer; only for an artifact.
	Annotations map[string]string `json:"annotations"`
	Certificate string            `json:"certificate_pem"`
	LogIndex    *int              `json:"log_index"`
}

func (a *authority) make(wanted request) (*made, error) {
	for _, part := range wanted.Omit {
		if !slices.Contains(parts, part) {
			return nil, fmt.Errorf("unknown part %q", part)
		}
	}
	if (wanted.Payload == nil) == (wanted.Artifact == nil) {
		return nil, errors.New("needs one of payload and artifact")
	}
	at := time.Now()
	if wanted.SignedAt != nil {
		at = *wanted.SignedAt
	}
	at = at.UTC().Truncate(time.Second)
	if !at.After(validFrom) || at.After(validUntil) {
		return nil, fmt.Errorf("signed_at %s is outside the authority's validity", at)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := a.issueLeaf(wanted.Identity, key, at.Add(-time.Second), !slices.Contains(wanted.Omit, partCertificateProof))
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	content, err := sign(wanted, key, leaf)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return a.assemble(wanted, content, leaf, at)
}

// signedContent is a signature, where it stands in the bundle, and the log entry's body for it.
type signedContent struct {
	signature []byte
	field     string
	value     map[string]any
	entryKind string
	entryBody []byte
}

func sign(wanted request, key *ecdsa.PrivateKey, leaf *x509.Certificate) (*signedContent, error) {
	if wanted.Artifact != nil {
		return signArtifact(wanted.Artifact, key, leaf)
	}
	payloadType := wanted.PayloadType
	if payloadType == "" {
		payloadType = "application/vnd.in-toto+json"
	}
	return signEnvelope(wanted.Payload, payloadType, key, leaf)
}

func signArtifact(artifact []byte, key *ecdsa.PrivateKey, leaf *x509.Certificate) (*signedContent, error) {
	signature, err := signHash(key, artifact)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(artifact)
	body, err := json.Marshal(map[string]any{
		"apiVersion": "0.0.1",
		"kind":       "hashedrekord",
		"spec": map[string]any{
			"data":      map[string]any{"hash": hashOf(artifact)},
			"signature": map[string]any{"content": signature, "publicKey": map[string]any{"content": certificatePEM(leaf)}},
		},
	})
	return &signedContent{
		signature: signature,
		field:     "messageSignature",
		value: map[string]any{
			"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": digest[:]},
			"signature":     signature,
		},
		entryKind: "hashedrekord",
		entryBody: body,
	}, err
}

func signEnvelope(payload []byte, payloadType string, key *ecdsa.PrivateKey, leaf *x509.Certificate) (*signedContent, error) {
	encoded := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	signature, err := signHash(key, []byte(encoded))
	if err != nil {
		return nil, err
	}
	envelope := map[string]any{
		"payload":     payload,
		"payloadType": payloadType,
		"signatures":  []any{map[string]any{"sig": signature}},
	}
	envelopeText, err := json.Marshal(envelope)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "0.0.1",
		"kind":       "dsse",
		"spec": map[string]any{
			"envelopeHash": hashOf(envelopeText),
			"payloadHash":  hashOf(payload),
			"signatures":   []any{map[string]any{"signature": signature, "verifier": certificatePEM(leaf)}},
		},
	})
	return &signedContent{signature, "dsseEnvelope", envelope, "dsse", body}, err
}

func (a *authority) assemble(wanted request, content *signedContent, leaf *x509.Certificate, at time.Time) (*made, error) {
	result := &made{Certificate: string(certificatePEM(leaf)), Annotations: map[string]string{}}
	material := map[string]any{"certificate": map[string]any{"rawBytes": leaf.Raw}, "tlogEntries": []any{}}
	var entry *logEntry
	if !slices.Contains(wanted.Omit, partLogEntry) {
		var err error
		if entry, err = a.appendEntry(content.entryKind, content.entryBody, at); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		result.LogIndex = &entry.index
		material["tlogEntries"] = []any{entry.inBundle(wanted.Omit)}
	}
	var stamp []byte
	if !slices.Contains(wanted.Omit, partTimestamp) {
		var err error
		if stamp, err = a.timestamp(content.signature, at); err != nil {
			return nil, fmt.Errorf("timestamp: %w", err)
		}
		material["timestampVerificationData"] = map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": stamp}}}
	}
	result.Bundle = map[string]any{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": material,
		content.field:          content.value,
	}
	if wanted.Artifact == nil {
		return result, nil
	}
	return result, a.annotate(result, content, entry, stamp)
}

func (e *logEntry) inBundle(omit []string) map[string]any {
	shown := map[string]any{
		"logIndex":          strconv.Itoa(e.index),
		"logId":             map[string]any{"keyId": e.id},
		"kindVersion":       map[string]string{"kind": e.kind, "version": "0.0.1"},
		"integratedTime":    strconv.FormatInt(e.integratedTime, 10),
		"canonicalizedBody": e.body,
	}
	if !slices.Contains(omit, partPromise) {
		shown["inclusionPromise"] = map[string]any{"signedEntryTimestamp": e.promise}
	}
	if !slices.Contains(omit, partInclusionProof) {
		shown["inclusionProof"] = e.inclusion
	}
	return shown
}

// annotate adds what cosign's older format says beside a layer.
func (a *authority) annotate(result *made, content *signedContent, entry *logEntry, stamp []byte) error {
	chain := append(certificatePEM(a.intermediate), certificatePEM(a.root)...)
	result.Annotations["dev.cosignproject.cosign/signature"] = base64.StdEncoding.EncodeToString(content.signature)
	result.Annotations["dev.sigstore.cosign/certificate"] = result.Certificate
	result.Annotations["dev.sigstore.cosign/chain"] = string(chain)
	if entry != nil {
		bundle, err := json.Marshal(map[string]any{
			"SignedEntryTimestamp": entry.promise,
			"Payload": map[string]any{
				"body":           entry.body,
				"integratedTime": entry.integratedTime,
				"logIndex":       entry.index,
				"logID":          hex.EncodeToString(entry.id),
			},
		})
		if err != nil {
			return err
		}
		result.Annotations["dev.sigstore.cosign/bundle"] = string(bundle)
	}
	if stamp != nil {
		response, err := json.Marshal(map[string]any{"SignedRFC3161Timestamp": stamp})
		if err != nil {
			return err
		}
		result.Annotations["dev.sigstore.cosign/rfc3161timestamp"] = string(response)
	}
	return nil
}

func (a *authority) timestamp(signature []byte, at time.Time) ([]byte, error) {
	digest := sha256.Sum256(signature)
	token := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256,
		HashedMessage: digest[:],
		Time:          at,
		Policy:        asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
	}
	return token.CreateResponseWithOpts(a.timestamper, a.timestamperKey, crypto.SHA256)
}

func hashOf(content []byte) map[string]any {
	digest := sha256.Sum256(content)
	return map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(digest[:])}
}

func certificatePEM(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}
