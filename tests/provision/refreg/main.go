// Command refreg is an OCI registry in memory that serves the referrers API, for tests.
//
// It listens on two loopback ports. The first is the registry; with -users it asks for basic authentication. The second
// is for the test alone: it takes the faults that the registry shall show and tells which requests were answered how.
// Without faults the registry behaves as the library does. It never listens beyond loopback.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of the registry")
	control := flag.String("control", "127.0.0.1:0", "address of the control endpoint")
	addresses := flag.String("addresses", "", "file to write both addresses to, as JSON, once they accept connections")
	users := flag.String("users", "", "JSON file with user names and passwords; absent: no authentication")
	referrers := flag.Bool("referrers", true, "serve the referrers API")
	flag.Parse()
	if err := run(*listen, *control, *addresses, *users, *referrers); err != nil {
		log.Fatalf("refreg: %v", err)
	}
}

func run(listen, control, addresses, usersFile string, referrers bool) error {
	users, err := readUsers(usersFile)
	if err != nil {
		return err
	}
	registryListener, err := listenOnLoopback(listen)
	if err != nil {
		return err
	}
	controlListener, err := listenOnLoopback(control)
	if err != nil {
		return err
	}
	faults := newFaultDesk(authenticated(users, registry.New(registry.WithReferrersSupport(referrers))))
	if err := writeAddresses(addresses, registryListener.Addr(), controlListener.Addr()); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(registryListener, faults) }()
	go func() { failed <- http.Serve(controlListener, faults.control()) }()
	return <-failed
}

func listenOnLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address", host)
	}
	return net.Listen("tcp", address)
}

func readUsers(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	users := map[string]string{}
	if err := json.Unmarshal(raw, &users); err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return users, nil
}

// The file is renamed into place: a reader that sees it sees all of it.
func writeAddresses(file string, registryAddress, controlAddress net.Addr) error {
	if file == "" {
		return nil
	}
	raw, err := json.Marshal(map[string]string{"registry": registryAddress.String(), "control": controlAddress.String()})
	if err != nil {
		return err
	}
	partial := file + ".partial"
	if err := os.WriteFile(partial, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(partial, file)
}

func authenticated(users map[string]string, inner http.Handler) http.Handler {
	if users == nil {
		return inner
	}
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		user, password, given := request.BasicAuth()
		expected, known := users[user]
		if !given || !known || expected != password {
			response.Header().Set("WWW-Authenticate", `Basic realm="refreg"`)
			refuse(response, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(response, request)
	})
}
