// Command validate holds the manifests for Kubernetes against Kubernetes' own types, where no field may be unknown, doubled or of another kind, and the compose
// files against Compose's own loader and schema. It is a module of its own, so that neither is a dependency of the service.
//
//	go run . -kubernetes ../kubernetes/tidings.yaml -compose ../../compose.yaml
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	manifests := flag.String("kubernetes", "", "manifests, separated by commas")
	composes := flag.String("compose", "", "compose files, separated by commas; those that are used together are joined by +")
	flag.Parse()
	var faults []error
	for _, path := range split(*manifests) {
		faults = append(faults, kubernetes(path))
	}
	for _, path := range split(*composes) {
		faults = append(faults, compose(path))
	}
	if err := errors.Join(faults...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func kubernetes(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(b)))
	buf := make([]byte, len(b)+1)
	for n := 1; ; n++ {
		size, err := documents.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		object, kind, err := decoder.Decode(buf[:size], nil, nil)
		if err != nil {
			return fmt.Errorf("%s, document %d: %w", path, n, err)
		}
		if d, ok := object.(*appsv1.Deployment); ok {
			if err := selected(d); err != nil {
				return fmt.Errorf("%s, document %d: %w", path, n, err)
			}
		}
		fmt.Println(path, kind.Kind)
	}
}

// selected says what a cluster would refuse although the types are right.
func selected(d *appsv1.Deployment) error {
	for k, v := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[k] != v {
			return fmt.Errorf("deployment %s does not select its own pods", d.Name)
		}
	}
	volumes := map[string]bool{}
	for _, v := range d.Spec.Template.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		ports := map[string]bool{}
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				return fmt.Errorf("deployment %s mounts %s, which there is not", d.Name, m.Name)
			}
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil && p.HTTPGet != nil && p.HTTPGet.Port.StrVal != "" && !ports[p.HTTPGet.Port.StrVal] {
				return fmt.Errorf("deployment %s probes port %s, which there is not", d.Name, p.HTTPGet.Port.StrVal)
			}
		}
	}
	return nil
}

// compose loads files that are given to Compose together, joined by +.
func compose(paths string) error {
	var files []types.ConfigFile
	for path := range strings.SplitSeq(paths, "+") {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, types.ConfigFile{Filename: path, Content: b})
	}
	dir := filepath.Dir(files[0].Filename)
	// What .env would hold.
	env := types.Mapping{"POSTGRES_PASSWORD": "x", "DISCORD_TOKEN": "x", "DISCORD_CLIENT_ID": "1", "DISCORD_CLIENT_SECRET": "x", "PUBLIC_URL": "https://tidings.example.org", "ENCRYPTION_KEY": "x"}
	p, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir: dir, ConfigFiles: files, Environment: env,
	}, func(o *loader.Options) { o.SetProjectName("tidings", true); o.SkipResolveEnvironment = true })
	if err != nil {
		return fmt.Errorf("%s: %w", paths, err)
	}
	fmt.Println(paths, strings.Join(p.ServiceNames(), " "))
	return nil
}
