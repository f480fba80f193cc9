package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"time"
)

// trustedRoot tells a verifier whom to believe, in the shape of Sigstore's trusted_root.json.
func (a *authority) trustedRoot() map[string]any {
	return map[string]any{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":                  []any{shownLog("https://"+logHost, a.signatureLog)},
		"ctlogs":                 []any{shownLog("https://ctlog.localhost", a.certificateLog)},
		"certificateAuthorities": []any{shownAuthority("https://fulcio.localhost", a.intermediate, a.root)},
		"timestampAuthorities":   []any{shownAuthority("https://timestamp.localhost", a.timestamper, a.root)},
	}
}

func shownLog(url string, key *ecdsa.PrivateKey) map[string]any {
	id, public, err := logID(key)
	if err != nil {
		panic(err) // a P-256 key always encodes
	}
	return map[string]any{
		"baseUrl":       url,
		"hashAlgorithm": "SHA2_256",
		"publicKey":     map[string]any{"rawBytes": public, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": validity()},
		"logId":         map[string]any{"keyId": id},
	}
}

func shownAuthority(url string, chain ...*x509.Certificate) map[string]any {
	certificates := []any{}
	for _, certificate := range chain {
		certificates = append(certificates, map[string]any{"rawBytes": certificate.Raw})
	}
	subject := chain[len(chain)-1].Subject
	return map[string]any{
		"subject":   map[string]any{"organization": subject.Organization[0], "commonName": subject.CommonName},
		"uri":       url,
		"certChain": map[string]any{"certificates": certificates},
		"validFor":  validity(),
	}
}

func validity() map[string]any {
	return map[string]any{"start": validFrom.Format(time.RFC3339), "end": validUntil.Format(time.RFC3339)}
}
