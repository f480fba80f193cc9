package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	certificateLifetime = 10 * time.Minute
	// Extensions up to this number hold raw text, those after it a UTF8String.
	lastRawExtension = 6
	highestExtension = 24
)

var (
	fulcioArc  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}
	sctListOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

// identity is what a certificate claims.
type identity struct {
	// URI or Email: the subject alternative name; exactly one.
	URI   string `json:"uri"`
	Email string `json:"email"`
	// Issuer of the identity token: the extensions 1 and 8, unless Extensions names them.
	Issuer string `json:"issuer"`
	// Extensions by their number below 1.3.6.1.4.1.57264.1.
	Extensions map[string]string `json:"extensions"`
}

// issueLeaf issues a signing certificate that begins at the given time; with a proof that a certificate log has seen it.
func (a *authority) issueLeaf(who identity, key *ecdsa.PrivateKey, at time.Time, withProof bool) (*x509.Certificate, error) {
	template := &x509.Certificate{
		NotBefore:   at,
		NotAfter:    at.Add(certificateLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	switch {
	case who.URI != "" && who.Email == "":
		uri, err := url.Parse(who.URI)
		if err != nil {
			return nil, fmt.Errorf("read uri: %w", err)
		}
		template.URIs = []*url.URL{uri}
	case who.Email != "" && who.URI == "":
		template.EmailAddresses = []string{who.Email}
	default:
		return nil, errors.New("identity needs one of uri and email")
	}
	extensions, err := who.certificateExtensions()
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = extensions
	bare, err := issue(template, a.intermediate, key, a.intermediateKey)
	if err != nil || !withProof {
		return bare, err
	}
	proof, err := a.certificateLogProof(bare, at)
	if err != nil {
		return nil, err
	}
	// The proof is over the certificate without it: it has to be the last extension, and nothing else may differ.
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: sctListOID, Value: proof})
	return issue(template, a.intermediate, key, a.intermediateKey)
}

func (who identity) certificateExtensions() ([]pkix.Extension, error) {
	values := map[int]string{1: who.Issuer, 8: who.Issuer}
	for number, value := range who.Extensions {
		parsed, err := strconv.Atoi(number)
		if err != nil || parsed < 1 || parsed > highestExtension || parsed == lastRawExtension+1 {
			return nil, fmt.Errorf("unknown extension %q", number)
		}
		values[parsed] = value
	}
	numbers := []int{}
	for number, value := range values {
		if value != "" {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	extensions := []pkix.Extension{}
	for _, number := range numbers {
		value := []byte(values[number])
		if number > lastRawExtension {
			encoded, err := asn1.MarshalWithParams(values[number], "utf8")
			if err != nil {
				return nil, fmt.Errorf("encode extension %d: %w", number, err)
			}
			value = encoded
		}
		extensions = append(extensions, pkix.Extension{Id: append(slices.Clone(fulcioArc), number), Value: value})
	}
	return extensions, nil
}

// certificateLogProof makes the value of the extension that lists the signed certificate timestamps (RFC 6962, sections 3.2 and 3.3).
func (a *authority) certificateLogProof(bare *x509.Certificate, at time.Time) ([]byte, error) {
	id, _, err := logID(a.certificateLog)
	if err != nil {
		return nil, err
	}
	milliseconds := uint64(at.UnixMilli())
	issuerKeyHash := sha256.Sum256(a.intermediate.RawSubjectPublicKeyInfo)

	var signed bytes.Buffer
	signed.Write([]byte{0, 0}) // version 1, a certificate timestamp
	putUint(&signed, milliseconds, 8)
	putUint(&signed, 1, 2) // an entry before issuance
	signed.Write(issuerKeyHash[:])
	putUint(&signed, uint64(len(bare.RawTBSCertificate)), 3)
	signed.Write(bare.RawTBSCertificate)
	putUint(&signed, 0, 2) // no extensions
	hash := sha256.Sum256(signed.Bytes())
	signature, err := ecdsa.SignASN1(rand.Reader, a.certificateLog, hash[:])
	if err != nil {
		return nil, err
	}

	var timestamp bytes.Buffer
	timestamp.WriteByte(0)
	timestamp.Write(id)
	putUint(&timestamp, milliseconds, 8)
	putUint(&timestamp, 0, 2)
	timestamp.Write([]byte{4, 3}) // SHA-256, ECDSA
	putUint(&timestamp, uint64(len(signature)), 2)
	timestamp.Write(signature)

	var list bytes.Buffer
	putUint(&list, uint64(timestamp.Len()+2), 2)
	putUint(&list, uint64(timestamp.Len()), 2)
	list.Write(timestamp.Bytes())
	return asn1.Marshal(list.Bytes())
}

// putUint writes the low bytes of a number, highest first.
func putUint(buffer *bytes.Buffer, value uint64, width int) {
	var whole [8]byte
	binary.BigEndian.PutUint64(whole[:], value)
	buffer.Write(whole[8-width:])
}
