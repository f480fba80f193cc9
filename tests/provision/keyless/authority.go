package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Everything the authority makes may be dated inside this span.
var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)
)

// authority holds the keys of one signing world, kept in one folder.
type authority struct {
	folder string

	root            *x509.Certificate
	intermediate    *x509.Certificate
	intermediateKey *ecdsa.PrivateKey
	timestamper     *x509.Certificate
	timestamperKey  *ecdsa.PrivateKey
	certificateLog  *ecdsa.PrivateKey
	signatureLog    *ecdsa.PrivateKey
}

// withAuthority opens the folder, alone: runs at the same time wait for each other.
func withAuthority(folder string, use func(*authority) error) error {
	if folder == "" {
		return errors.New("-state is missing")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", folder, err)
	}
	opened, err := openAuthority(folder)
	if err != nil {
		return fmt.Errorf("open authority: %w", err)
	}
	return use(opened)
}

func openAuthority(folder string) (*authority, error) {
	a := &authority{folder: folder}
	rootKey, err := a.key("root")
	if err != nil {
		return nil, err
	}
	if a.intermediateKey, err = a.key("intermediate"); err != nil {
		return nil, err
	}
	if a.timestamperKey, err = a.key("timestamper"); err != nil {
		return nil, err
	}
	if a.certificateLog, err = a.key("certificate-log"); err != nil {
		return nil, err
	}
	if a.signatureLog, err = a.key("signature-log"); err != nil {
		return nil, err
	}

	rootTemplate := authorityTemplate("test-root")
	if a.root, err = a.certificate("root", rootTemplate, nil, rootKey, rootKey); err != nil {
		return nil, err
	}
	intermediateTemplate := authorityTemplate("test-intermediate")
	intermediateTemplate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	intermediateTemplate.MaxPathLenZero = true
	if a.intermediate, err = a.certificate("intermediate", intermediateTemplate, a.root, a.intermediateKey, rootKey); err != nil {
		return nil, err
	}
	timestamperTemplate, err := timestamperTemplate()
	if err != nil {
		return nil, err
	}
	a.timestamper, err = a.certificate("timestamper", timestamperTemplate, a.root, a.timestamperKey, rootKey)
	return a, err
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{"custody.test"}},
		NotBefore:             validFrom,
		NotAfter:              validUntil,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

// RFC 3161 demands the usage to be the only one, and critical; the template's own field cannot say critical.
func timestamperTemplate() (*x509.Certificate, error) {
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		Subject:         pkix.Name{CommonName: "test-timestamper", Organization: []string{"custody.test"}},
		NotBefore:       validFrom,
		NotAfter:        validUntil,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, nil
}

// key reads a key of the folder, or makes it.
func (a *authority) key(name string) (*ecdsa.PrivateKey, error) {
	file := filepath.Join(a.folder, name+".key")
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		encoded, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, writePEM(file, "EC PRIVATE KEY", encoded)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// certificate reads a certificate of the folder, or issues it; without a parent it signs itself.
func (a *authority) certificate(name string, template, parent *x509.Certificate, own, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	file := filepath.Join(a.folder, name+".pem")
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if parent == nil {
			parent = template
		}
		issued, err := issue(template, parent, own, signer)
		if err != nil {
			return nil, err
		}
		return issued, writePEM(file, "CERTIFICATE", issued.Raw)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	return x509.ParseCertificate(block.Bytes)
}

func issue(template, parent *x509.Certificate, own, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	if template.SerialNumber == nil {
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
		if err != nil {
			return nil, err
		}
		template.SerialNumber = serial.Add(serial, big.NewInt(1))
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}

func writePEM(file, kind string, content []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
}

// logID is how a log is named: the hash of its public key.
func logID(key *ecdsa.PrivateKey) ([]byte, []byte, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	id := sha256.Sum256(public)
	return id[:], public, nil
}
