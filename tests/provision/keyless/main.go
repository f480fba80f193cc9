// Command keyless is a whole keyless signing world in one program, for tests: a certificate authority, a certificate
// transparency log, a signature log, a timestamp authority and an OpenID issuer.
//
//	keyless make   -state DIR < requests.json > made.json   signs; all runs with one DIR share one trust root
//	keyless root   -state DIR > trusted_root.json           prints that trust root
//	keyless issuer -addresses FILE [-listen 127.0.0.1:0]    serves an OpenID issuer that mints any token it is asked for
//
// What it signs may claim any identity, issuer and time: nothing outside a test may ever trust it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
)

const requestsBytesMax = 64 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "keyless: %v\n", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("usage: keyless make|root|issuer [flags]")
	}
	flags := flag.NewFlagSet("keyless "+arguments[0], flag.ContinueOnError)
	state := flags.String("state", "", "folder of the authority's keys and log; made when absent")
	listen := flags.String("listen", "127.0.0.1:0", "address of the issuer")
	addresses := flags.String("addresses", "", "file to write the issuer's URL to, as JSON")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	switch arguments[0] {
	case "make":
		return withAuthority(*state, makeAll)
	case "root":
		return withAuthority(*state, func(a *authority) error { return writeJSON(a.trustedRoot()) })
	case "issuer":
		return serveIssuer(*listen, *addresses)
	default:
		return fmt.Errorf("unknown command %q", arguments[0])
	}
}

func makeAll(a *authority) error {
	raw, err := io.ReadAll(io.LimitReader(os.Stdin, requestsBytesMax))
	if err != nil {
		return fmt.Errorf("read requests: %w", err)
	}
	var requests []request
	if err := json.Unmarshal(raw, &requests); err != nil {
		return fmt.Errorf("read requests: %w", err)
	}
	all := []*made{}
	for index, one := range requests {
		result, err := a.make(one)
		if err != nil {
			return fmt.Errorf("request %d: %w", index, err)
		}
		all = append(all, result)
	}
	return writeJSON(all)
}

func writeJSON(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
