package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	logHost   = "rekor.localhost"
	logOrigin = logHost + " - 1"
)

// logEntry is what the signature log answers: the entry in the shape of a bundle, and the promise cosign's annotation holds.
type logEntry struct {
	index          int
	integratedTime int64
	id             []byte
	body           []byte
	kind           string
	promise        []byte
	inclusion      map[string]any
}

// appendEntry adds a body to the log (a real tree, kept in the folder) and proves it against the tree that ends with it.
func (a *authority) appendEntry(kind string, body []byte, at time.Time) (*logEntry, error) {
	file := filepath.Join(a.folder, "signature-log.leaves")
	leaves, err := readLeaves(file)
	if err != nil {
		return nil, err
	}
	index := len(leaves)
	leaf := sha256.Sum256(append([]byte{0}, body...))
	leaves = append(leaves, leaf[:])
	if err := appendLine(file, hex.EncodeToString(leaf[:])); err != nil {
		return nil, err
	}

	id, _, err := logID(a.signatureLog)
	if err != nil {
		return nil, err
	}
	entry := &logEntry{index: index, integratedTime: at.Unix(), id: id, body: body, kind: kind}
	// The fields stand in the order of canonical JSON.
	promised, err := json.Marshal(struct {
		Body           string `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       int    `json:"logIndex"`
	}{base64.StdEncoding.EncodeToString(body), entry.integratedTime, hex.EncodeToString(id), index})
	if err != nil {
		return nil, err
	}
	if entry.promise, err = signHash(a.signatureLog, promised); err != nil {
		return nil, err
	}

	root := treeRoot(leaves)
	checkpoint, err := a.checkpoint(len(leaves), root, id)
	if err != nil {
		return nil, err
	}
	entry.inclusion = map[string]any{
		"logIndex":   strconv.Itoa(index),
		"treeSize":   strconv.Itoa(len(leaves)),
		"rootHash":   root,
		"hashes":     inclusionPath(index, leaves),
		"checkpoint": map[string]string{"envelope": checkpoint},
	}
	return entry, nil
}

// checkpoint signs the size and root of the tree as a note.
func (a *authority) checkpoint(size int, root, id []byte) (string, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", logOrigin, size, base64.StdEncoding.EncodeToString(root))
	signature, err := signHash(a.signatureLog, []byte(text))
	if err != nil {
		return "", err
	}
	hinted := append(append([]byte{}, id[:4]...), signature...)
	return fmt.Sprintf("%s\n— %s %s\n", text, logHost, base64.StdEncoding.EncodeToString(hinted)), nil
}

// treeRoot is the Merkle tree hash of RFC 6962, section 2.1.
func treeRoot(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	split := splitPoint(len(leaves))
	node := append([]byte{1}, treeRoot(leaves[:split])...)
	hash := sha256.Sum256(append(node, treeRoot(leaves[split:])...))
	return hash[:]
}

// inclusionPath is the audit path of RFC 6962, section 2.1.1.
func inclusionPath(index int, leaves [][]byte) [][]byte {
	if len(leaves) == 1 {
		return [][]byte{}
	}
	split := splitPoint(len(leaves))
	if index < split {
		return append(inclusionPath(index, leaves[:split]), treeRoot(leaves[split:]))
	}
	return append(inclusionPath(index-split, leaves[split:]), treeRoot(leaves[:split]))
}

// splitPoint is the largest power of two below the size.
func splitPoint(size int) int {
	split := 1
	for split*2 < size {
		split *= 2
	}
	return split
}

func readLeaves(file string) ([][]byte, error) {
	opened, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	leaves := [][]byte{}
	lines := bufio.NewScanner(opened)
	for lines.Scan() {
		leaf, err := hex.DecodeString(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		leaves = append(leaves, leaf)
	}
	return leaves, lines.Err()
}

func appendLine(file, line string) error {
	opened, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = opened.WriteString(line + "\n")
	return errors.Join(err, opened.Close())
}

func signHash(key *ecdsa.PrivateKey, message []byte) ([]byte, error) {
	hash := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, key, hash[:])
}
