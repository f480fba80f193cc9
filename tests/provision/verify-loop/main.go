// Command verify-loop verifies one Sigstore bundle again and again with sigstore-go, on one thread, and prints how often a
// second it did: what a Go program would have to spend on the same evidence.
//
//	verify-loop -bundle FILE -trusted-root FILE -issuer URL -identity SUBJECT -digest HEX [-seconds N]
//
// The bundle is parsed each time, the trust root once. Exit code 1 when it does not verify.
package main

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "verify-loop: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	bundleFile := flag.String("bundle", "", "the bundle")
	rootFile := flag.String("trusted-root", "", "trusted_root.json")
	issuer := flag.String("issuer", "", "the certificate's issuer")
	identity := flag.String("identity", "", "the certificate's subject")
	digest := flag.String("digest", "", "SHA-256 of the artifact, or of a subject")
	seconds := flag.Float64("seconds", 2, "for how long")
	flag.Parse()
	runtime.GOMAXPROCS(1)

	raw, err := os.ReadFile(*bundleFile)
	if err != nil {
		return err
	}
	trusted, err := root.NewTrustedRootFromPath(*rootFile)
	if err != nil {
		return err
	}
	verifier, err := verify.NewVerifier(trusted,
		verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return err
	}
	expected, err := verify.NewShortCertificateIdentity(*issuer, "", *identity, "")
	if err != nil {
		return err
	}
	artifact, err := hex.DecodeString(*digest)
	if err != nil {
		return err
	}
	policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", artifact), verify.WithCertificateIdentity(expected))

	once := func() error {
		var parsed bundle.Bundle
		if err := parsed.UnmarshalJSON(raw); err != nil {
			return err
		}
		_, err := verifier.Verify(&parsed, policy)
		return err
	}
	if err := once(); err != nil {
		return err
	}
	count, began := 0, time.Now()
	for time.Since(began).Seconds() < *seconds {
		if err := once(); err != nil {
			return err
		}
		count++
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"count": count, "seconds": time.Since(began).Seconds(),
	})
}
