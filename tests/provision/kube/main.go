// Command kube is the Kubernetes API server and controller manager in one binary.
//
// The first argument chooses the program; what follows are that program's own flags.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	var command *cobra.Command
	switch {
	case len(os.Args) > 1 && os.Args[1] == "apiserver":
		command = apiserver.NewAPIServerCommand()
	case len(os.Args) > 1 && os.Args[1] == "controller-manager":
		command = controllermanager.NewControllerManagerCommand()
	default:
		fmt.Fprintln(os.Stderr, "usage: kube apiserver|controller-manager [flags]")
		os.Exit(2)
	}
	os.Args = append(os.Args[:1], os.Args[2:]...)
	os.Exit(cli.Run(command))
}
