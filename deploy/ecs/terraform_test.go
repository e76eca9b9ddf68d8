package ecs_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	asked   = flag.Bool("terraform", false, "check the module with terraform, aws and cfn-lint, as far as they are there")
	plugins = flag.String("plugins", "", "directory that holds providers of Terraform in place of its registry (a filesystem mirror)")
)

// tool skips the test loudly where a tool is missing.
func tool(t *testing.T, names ...string) {
	t.Helper()
	if !*asked {
		t.Skip("NOT TESTED: the module is checked by `make deploy-test` only")
	}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("NOT TESTED: there is no %s on the PATH", name)
		}
	}
}

// do runs a command in dir and returns its output; failed: its exit code is not 0.
func do(t *testing.T, dir string, env []string, name string, args ...string) (output string, failed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var both bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), &both, &both
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return both.String(), err != nil
}

// module is a copy of this directory, in which terraform has its provider.
type module struct {
	dir string
	env []string
}

// initialised copies this directory, so that nothing is left in it, and initialises the copy of dir there.
func initialised(t *testing.T, dir string) module {
	t.Helper()
	tool(t, "terraform")
	temporary := t.TempDir()
	if err := os.CopyFS(filepath.Join(temporary, "ecs"), os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	m := module{dir: filepath.Join(temporary, "ecs", dir), env: []string{"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1"}}
	if *plugins != "" {
		config := filepath.Join(temporary, "terraform.rc")
		content := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", *plugins)
		if err := os.WriteFile(config, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		m.env = append(m.env, "TF_CLI_CONFIG_FILE="+config)
	}
	if output, failed := do(t, m.dir, m.env, "terraform", "init", "-no-color", "-backend=false", "-input=false"); failed {
		if strings.Contains(output, "Failed to query available provider packages") {
			t.Skipf("NOT TESTED: Terraform's provider for AWS can neither be fetched nor is it in -plugins: %s", output)
		}
		t.Fatal(output)
	}
	return m
}

func TestTheModuleIsFormatted(t *testing.T) {
	t.Parallel()
	tool(t, "terraform")
	if output, failed := do(t, ".", nil, "terraform", "fmt", "-check", "-recursive", "-diff"); failed {
		t.Errorf("run terraform fmt -recursive:\n%s", output)
	}
}

func TestTheExampleIsValidAndComplete(t *testing.T) {
	m := initialised(t, "examples/complete")
	if output, failed := do(t, m.dir, m.env, "terraform", "validate", "-no-color"); failed {
		t.Fatal(output)
	}
	if output, failed := do(t, m.dir, m.env, "terraform", "test", "-no-color"); failed || !strings.Contains(output, "1 passed, 0 failed") {
		t.Error(output)
	}
}

// The module's own tests run on a provider that AWS is not asked by; they look at what would be made. Then the task
// definitions are held against what the API of ECS takes, which Terraform does not do: to it they are a text.
func TestTheModuleIsValidAndItsTaskDefinitionsAreECSs(t *testing.T) {
	m := initialised(t, ".")
	if output, failed := do(t, m.dir, m.env, "terraform", "validate", "-no-color"); failed {
		t.Fatal(output)
	}
	output, failed := do(t, m.dir, m.env, "terraform", "test", "-json", "-verbose")
	definitions := make(map[string]definition)
	passed := 0
	for line := range strings.Lines(output) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			continue // a warning for people
		}
		if e.Level == "error" {
			t.Errorf("%s: %s\n%s", e.Message, e.Diagnostic.Summary, e.Diagnostic.Detail)
		}
		if e.Run.Progress == "complete" && e.Run.Status == "pass" {
			passed++
		}
		for _, r := range e.State.Root.Resources {
			if r.Type != "aws_ecs_task_definition" {
				continue
			}
			var d definition
			if err := json.Unmarshal(r.Values, &d); err != nil {
				t.Fatal(err)
			}
			definitions[e.TestRun+" "+r.Address] = d
		}
	}
	if failed || passed < 15 {
		t.Fatalf("%d runs have passed", passed)
	}
	if n := assertions(t); n < 25 {
		t.Errorf("%d assertions", n)
	}
	t.Logf("%d runs of terraform test with %d assertions, %d rendered task definitions", passed, assertions(t), len(definitions))
	if len(definitions) < 4 {
		t.Fatalf("found the task definitions %v only; does terraform print states as is read here?", definitions)
	}
	t.Run("the aws command line takes them", func(t *testing.T) { botocore(t, definitions) })
	t.Run("cfn-lint takes them", func(t *testing.T) { cfnLint(t, definitions) })
}

// event is a line of `terraform test -json -verbose`.
type event struct {
	Level      string `json:"@level"`
	Message    string `json:"@message"`
	TestRun    string `json:"@testrun"`
	Diagnostic struct{ Summary, Detail string }
	Run        struct{ Progress, Status string } `json:"test_run"`
	State      struct {
		Root struct {
			Resources []struct {
				Type    string          `json:"type"`
				Address string          `json:"address"`
				Values  json.RawMessage `json:"values"`
			} `json:"resources"`
		} `json:"root_module"`
	} `json:"test_state"`
}

// definition is a task definition as Terraform keeps it.
type definition struct {
	Family      string           `json:"family"`
	NetworkMode string           `json:"network_mode"`
	CPU         string           `json:"cpu"`
	Memory      string           `json:"memory"`
	Execution   string           `json:"execution_role_arn"`
	Task        string           `json:"task_role_arn"`
	Requires    []string         `json:"requires_compatibilities"`
	Containers  string           `json:"container_definitions"`
	Platform    []map[string]any `json:"runtime_platform"`
	Volumes     []map[string]any `json:"volume"`
	Disk        []map[string]any `json:"ephemeral_storage"`
}

// request returns the definition as RegisterTaskDefinition takes it.
func (d definition) request(t *testing.T) map[string]any {
	t.Helper()
	var containers []any
	if err := json.Unmarshal([]byte(d.Containers), &containers); err != nil {
		t.Fatal(err)
	}
	r := map[string]any{
		"family": d.Family, "networkMode": d.NetworkMode, "cpu": d.CPU, "memory": d.Memory,
		"executionRoleArn": d.Execution, "taskRoleArn": d.Task, "requiresCompatibilities": d.Requires, "containerDefinitions": containers,
		"runtimePlatform": map[string]any{
			"cpuArchitecture": d.Platform[0]["cpu_architecture"], "operatingSystemFamily": d.Platform[0]["operating_system_family"],
		},
	}
	if len(d.Disk) > 0 {
		r["ephemeralStorage"] = map[string]any{"sizeInGiB": d.Disk[0]["size_in_gib"]}
	}
	volumes := []any{}
	for _, v := range d.Volumes {
		volumes = append(volumes, map[string]any{"name": v["name"]})
	}
	r["volumes"] = volumes
	return r
}

// botocore has the AWS command line check the requests against the model of the API, without sending them.
func botocore(t *testing.T, definitions map[string]definition) {
	tool(t, "aws")
	check := func(request map[string]any) (string, bool) {
		file := filepath.Join(t.TempDir(), "request.json")
		content, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return do(t, ".", []string{"AWS_DEFAULT_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true"},
			"aws", "ecs", "register-task-definition", "--cli-input-json", "file://"+file, "--generate-cli-skeleton", "output")
	}
	for _, name := range distinct(definitions) {
		if output, failed := check(definitions[name].request(t)); failed {
			t.Errorf("%s: %s", name, output)
		}
	}
	wrong := definitions[distinct(definitions)[0]].request(t)
	container := wrong["containerDefinitions"].([]any)[0].(map[string]any)
	container["stopTimeout"], container["readOnly"] = "120", true
	output, failed := check(wrong)
	if !failed || !strings.Contains(output, "readOnly") || !strings.Contains(output, "stopTimeout") {
		t.Errorf("a wrong one passes, so the check checks nothing: %s", output)
	}
}

// cfnLint has cfn-lint check them as CloudFormation would be given them; it knows Fargate's pairs of CPU and memory.
func cfnLint(t *testing.T, definitions map[string]definition) {
	tool(t, "cfn-lint")
	resources := make(map[string]any)
	for i, name := range distinct(definitions) {
		resources["Definition"+strconv.Itoa(i)] = map[string]any{"Type": "AWS::ECS::TaskDefinition", "Properties": capitalised(definitions[name].request(t), true)}
	}
	file := filepath.Join(t.TempDir(), "template.json")
	check := func() (string, bool) {
		content, err := json.Marshal(map[string]any{"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return do(t, ".", nil, "cfn-lint", "--non-zero-exit-code", "error", file)
	}
	if output, failed := check(); failed {
		t.Error(output)
	}
	resources["Definition0"].(map[string]any)["Properties"].(map[string]any)["Cpu"] = "300"
	if output, failed := check(); !failed {
		t.Errorf("a wrong one passes, so the check checks nothing: %s", output)
	}
}

// distinct returns a name for each of those that differ.
func distinct(definitions map[string]definition) []string {
	seen := make(map[string]string)
	for name, d := range definitions {
		key := d.Family + d.Containers
		if other, ok := seen[key]; !ok || name < other {
			seen[key] = name
		}
	}
	var names []string
	for _, name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// capitalised returns a request with the names that CloudFormation has. The names of log options are the driver's.
func capitalised(value any, names bool) any {
	switch v := value.(type) {
	case map[string]any:
		renamed := make(map[string]any)
		for name, inner := range v {
			key := name
			if names {
				key = strings.ToUpper(name[:1]) + name[1:]
			}
			renamed[key] = capitalised(inner, name != "options")
		}
		return renamed
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = capitalised(v[i], names)
		}
		return list
	}
	return value
}

// assertions counts what the module's tests assert; each value that must be refused is one, too.
func assertions(t *testing.T) (n int) {
	t.Helper()
	files, err := filepath.Glob("tests/*.tftest.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n += len(regexp.MustCompile(`(?m)^\s*(assert \{|var\.\w+,$)`).FindAll(content, -1))
	}
	return n
}
