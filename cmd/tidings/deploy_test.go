package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	yaml "github.com/oasdiff/yaml3"
)

// documents reads a file of YAML documents.
func documents(t *testing.T, path string) (docs []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	for {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		docs = append(docs, doc)
	}
}

// What is shipped to run Tidings with can be read, and names only settings that there are. No cluster and no Docker engine has run it.
func TestDeployFiles(t *testing.T) {
	t.Parallel()
	settings := map[string]bool{"POSTGRES_PASSWORD": true, "HOST_ADDRESS": true, "CGO_ENABLED": true, "POSTGRES_USER": true, "POSTGRES_DB": true, "VERSION": true}
	for _, of := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[TLSConfig](), reflect.TypeFor[TraceConfig]()} {
		for f := range of.Fields() {
			if name := f.Tag.Get("env"); name != "" {
				settings[name] = true
			}
		}
	}
	var files []string
	for _, root := range []string{"../../deploy", "../../compose.yaml", "../../.goreleaser.yaml", "../../.env.example"} {
		if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 9 {
		t.Fatalf("only %q are there", files)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^[ \t]*(?:- ?\{name: |Environment=|#[ \t]+)?([A-Z]+(?:_[A-Z]+)+)[:=,]`).FindAllStringSubmatch(string(b), -1) {
			if !settings[m[1]] {
				t.Errorf("%s sets %s, which there is not", path, m[1])
			}
		}
		if strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml") {
			if len(documents(t, path)) == 0 {
				t.Errorf("%s is empty", path)
			}
		}
	}
	kinds := []string{}
	for _, doc := range documents(t, "../../deploy/kubernetes/tidings.yaml") {
		kind, _ := doc["kind"].(string)
		kinds = append(kinds, kind)
		meta, _ := doc["metadata"].(map[string]any)
		if doc["apiVersion"] == nil || meta["name"] == nil {
			t.Errorf("a %s has no apiVersion or name", kind)
		}
		if kind != "Deployment" {
			continue
		}
		pod := doc["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
		container := pod["containers"].([]any)[0].(map[string]any)
		if pod["securityContext"].(map[string]any)["runAsNonRoot"] != true || container["securityContext"].(map[string]any)["readOnlyRootFilesystem"] != true || container["livenessProbe"] == nil {
			t.Errorf("%v may do more than it must, or is not looked after", meta["name"])
		}
	}
	slices.Sort(kinds)
	if want := []string{"ConfigMap", "Deployment", "Deployment", "Deployment", "Ingress", "PodDisruptionBudget", "Service"}; !slices.Equal(kinds, want) {
		t.Errorf("the manifests are %q, want %q", kinds, want)
	}
	for _, group := range documents(t, "../../deploy/prometheus/alerts.yml")[0]["groups"].([]any) {
		for _, r := range group.(map[string]any)["rules"].([]any) {
			rule := r.(map[string]any)
			notes, _ := rule["annotations"].(map[string]any)
			if rule["expr"] == nil || notes["summary"] == nil || notes["todo"] == nil {
				t.Errorf("the alert %v does not say what is wrong and what to do", rule["alert"])
			}
		}
	}
}

// The image of a release runs as the one that is built from the source does, and takes nothing but what goreleaser lays beside it: a folder for each platform with the binary.
func TestTheReleasesImage(t *testing.T) {
	t.Parallel()
	goreleaser := documents(t, "../../.goreleaser.yaml")[0]
	image := goreleaser["dockers_v2"].([]any)[0].(map[string]any)
	ends := func(path string) (copied, rest []string) {
		b, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		last := string(b)[strings.LastIndex(string(b), "\nFROM "):]
		for line := range strings.Lines(strings.TrimSpace(last)) {
			switch {
			case strings.HasPrefix(line, "COPY "):
				copied = append(copied, strings.TrimSpace(line))
			case !strings.HasPrefix(line, "ARG "):
				rest = append(rest, strings.TrimSpace(line))
			}
		}
		return copied, rest
	}
	_, want := ends("Dockerfile")
	copied, got := ends(image["dockerfile"].(string))
	if !slices.Equal(got, want) {
		t.Errorf("the release's image is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	binary := goreleaser["builds"].([]any)[0].(map[string]any)["binary"]
	for _, line := range copied {
		if !strings.Contains(line, "--from=") && line != fmt.Sprintf("COPY $TARGETPLATFORM/%s /tidings", binary) {
			t.Errorf("%s: goreleaser lays nothing but binaries beside it", line)
		}
	}
}

// Where a document leads to something of the repository, it is there, and so is the heading.
func TestDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	links, places := 0, regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, path := range append(files, root...) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range places.FindAllStringSubmatch(string(b), -1) {
			to, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			links++
			target := path
			if to != "" {
				target = filepath.Join(filepath.Dir(path), to)
			}
			text, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr != nil || !info.IsDir() && err != nil {
				t.Errorf("%s leads to %s, which is not there", path, m[1])
				continue
			}
			if heading != "" && !slices.Contains(headings(string(text)), heading) {
				t.Errorf("%s leads to %s, which has no such heading", path, m[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found", links)
	}
}

// headings are a document's, as links name them.
func headings(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		words := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

// The manifests are what Kubernetes' own types take, and the compose files what Compose's loader takes. The program for it is a module of its own.
func TestDeployFilesAreValid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "validate")
	if err := os.CopyFS(dir, os.DirFS("../../deploy/validate")); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	// Its libraries come over the network when they are not here yet, which may be away for a moment.
	for try := 1; ; try++ {
		out, err := run("mod", "download")
		if err == nil {
			break
		}
		if try == 4 {
			t.Fatalf("go mod download: %v\n%s", err, out)
		}
		<-time.After(time.Duration(try) * 3 * time.Second)
	}
	manifests := filepath.Join(root, "deploy/kubernetes/tidings.yaml")
	composes := filepath.Join(root, "compose.yaml")
	composes += "," + composes + "+" + filepath.Join(root, "deploy/compose/scale.yaml")
	if out, err := run("run", ".", "-kubernetes", manifests, "-compose", composes); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := filepath.Join(dir, "wrong.yaml")
	b, err := os.ReadFile(manifests)
	if err == nil {
		err = os.WriteFile(wrong, bytes.Replace(b, []byte("readOnlyRootFilesystem"), []byte("readOnlyRoot"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run("run", ".", "-kubernetes", wrong); err == nil || !bytes.Contains(out, []byte("readOnlyRoot")) {
		t.Errorf("a field that there is not is taken: %v\n%s", err, out)
	}
}
