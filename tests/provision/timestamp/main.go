// Command timestamp is Sigstore's timestamp authority with a key in memory, on one loopback port.
//
// It is not the project's own command, because that also opens port 2112 on all interfaces: two of them cannot run at once.
package main

import (
	"flag"
	"log"
	"net"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

const (
	requestTimeout = 30 * time.Second
	policy         = "1.3.6.1.4.1.57264.2"
)

func main() {
	host := flag.String("host", "127.0.0.1", "loopback address to listen on")
	port := flag.Int("port", 0, "port to listen on")
	flag.Parse()
	if ip := net.ParseIP(*host); ip == nil || !ip.IsLoopback() {
		log.Fatalf("timestamp: %s is not a loopback address", *host)
	}
	// The library reads its settings from the same place as its command does.
	viper.Set("timestamp-signer", "memory")
	viper.Set("timestamp-signer-hash", "sha256")
	viper.Set("default-policy-oid", policy)
	viper.Set("accepted-policy-oids", []string{policy})
	viper.Set("max-request-body-size", uint64(1<<20))

	authority := server.NewRestAPIServer(*host, *port, []string{"http"}, false, requestTimeout, requestTimeout)
	if err := authority.Serve(); err != nil {
		log.Fatalf("timestamp: %v", err)
	}
}
