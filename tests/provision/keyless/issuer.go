package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	claimsBytesMax = 1 << 16
	tokenLifetime  = 10 * time.Minute
	keyName        = "test"
)

// serveIssuer serves discovery, keys, and POST /mint: claims in, signed token out (iss, aud, iat and exp are filled in).
func serveIssuer(listen, addresses string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address", listen)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	routes := http.NewServeMux()
	routes.HandleFunc("GET /.well-known/openid-configuration", answer(map[string]any{
		"issuer":                                url,
		"jwks_uri":                              url + "/keys",
		"authorization_endpoint":                url + "/authorize",
		"token_endpoint":                        url + "/token",
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	}))
	routes.HandleFunc("GET /keys", answer(map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": keyName,
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}}}))
	routes.HandleFunc("POST /mint", func(response http.ResponseWriter, request *http.Request) {
		claims := map[string]any{}
		if err := json.NewDecoder(http.MaxBytesReader(response, request.Body, claimsBytesMax)).Decode(&claims); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		token, err := mint(key, url, claims)
		if err != nil {
			http.Error(response, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = response.Write([]byte(token))
	})
	if addresses != "" {
		if err := writeURL(addresses, url); err != nil {
			return err
		}
	}
	return http.Serve(listener, routes)
}

func mint(key *rsa.PrivateKey, url string, claims map[string]any) (string, error) {
	now := time.Now()
	defaults := map[string]any{"iss": url, "aud": "sigstore", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLifetime).Unix()}
	for name, value := range defaults {
		if _, given := claims[name]; !given {
			claims[name] = value
		}
	}
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": keyName})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func answer(value any) http.HandlerFunc {
	return func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(response).Encode(value)
	}
}

// The file is renamed into place: a reader that sees it sees all of it.
func writeURL(file, url string) error {
	raw, err := json.Marshal(map[string]string{"issuer": url})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".partial", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".partial", file)
}
