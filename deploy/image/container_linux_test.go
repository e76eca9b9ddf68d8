package image_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long anything may take until the test fails.
const patience = 30 * time.Second

// container is an image that runs.
type container struct {
	t      *testing.T
	id     string
	state  string // runc's directory
	volume string // on this machine; empty: none
	cmd    *exec.Cmd
	begun  time.Time // just before it was started
	exited chan struct{}

	mu    sync.Mutex
	lines []string
	grown chan struct{} // closed and replaced with every line
}

// run starts a container as ECS does: the root file system is read-only, nothing may be gained beyond what the user has,
// and what the image calls a volume is one. The network is that of this machine.
func (i *image) run(t *testing.T, env ...string) *container {
	t.Helper()
	name := filepath.Join(i.bundle, "config.json")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(content, &spec); err != nil {
		t.Fatal(err)
	}
	process, linux := spec["process"].(map[string]any), spec["linux"].(map[string]any)
	process["terminal"], process["noNewPrivileges"], process["capabilities"] = false, true, map[string]any{}
	var variables []any
	for _, variable := range append(slices.Clone(i.config.Config.Env), env...) {
		variables = append(variables, variable)
	}
	process["env"] = variables
	spec["root"].(map[string]any)["readonly"] = true
	linux["namespaces"] = slices.DeleteFunc(linux["namespaces"].([]any), func(n any) bool {
		kind := n.(map[string]any)["type"]
		return kind == "network" || kind == "user"
	})
	mounts := slices.DeleteFunc(spec["mounts"].([]any), func(m any) bool { return m.(map[string]any)["destination"] == "/etc/resolv.conf" })
	c := &container{t: t, id: "seri-test-" + i.target + "-" + strconv.Itoa(os.Getpid()), state: t.TempDir(), exited: make(chan struct{}), grown: make(chan struct{})}
	for volume := range i.config.Config.Volumes {
		mounts = slices.DeleteFunc(mounts, func(m any) bool { return m.(map[string]any)["destination"] == volume })
		dir := t.TempDir() // a new volume begins as a copy of what the image has there, owner included
		if err := os.Chown(dir, 65532, 65532); err != nil {
			t.Fatal(err)
		}
		c.volume = dir
		mounts = append(mounts, map[string]any{"destination": volume, "type": "bind", "source": dir, "options": []any{"rbind", "rw"}})
	}
	spec["mounts"] = mounts
	if content, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}

	c.cmd = exec.Command("runc", "--root", c.state, "run", "--bundle", i.bundle, c.id)
	output, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdout = c.cmd.Stderr
	c.begun = time.Now()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			c.mu.Lock()
			c.lines = append(c.lines, lines.Text())
			close(c.grown)
			c.grown = make(chan struct{})
			c.mu.Unlock()
		}
		_ = c.cmd.Wait() // how it ended is in its ProcessState
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = exec.Command("runc", "--root", c.state, "delete", "--force", c.id).Run() // gone already, if all went well
		<-c.exited
		if t.Failed() {
			t.Logf("%s (%v) wrote:\n%s", i.target, c.cmd.ProcessState, strings.Join(c.lines, "\n"))
		}
	})
	return c
}

// await returns the first line of the container's log that contains text.
func (c *container) await(text string) string {
	c.t.Helper()
	expired := time.After(patience)
	for {
		c.mu.Lock()
		at := slices.IndexFunc(c.lines, func(line string) bool { return strings.Contains(line, text) })
		lines, grown := c.lines, c.grown
		c.mu.Unlock()
		if at >= 0 {
			return lines[at]
		}
		select {
		case <-grown:
		case <-c.exited:
			c.t.Fatalf("%s ended (%v) without having written %q", c.id, c.cmd.ProcessState, text)
		case <-expired:
			c.t.Fatalf("%s has not written %q", c.id, text)
		}
	}
}

// awaitOK returns when a URL is answered with 200.
func (c *container) awaitOK(url string) {
	c.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	expired := time.After(patience)
	for {
		response, err := http.Get(url)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-again.C:
		case <-c.exited:
			c.t.Fatalf("%s ended (%v) without having answered %s", c.id, c.cmd.ProcessState, url)
		case <-expired:
			c.t.Fatalf("%s does not answer %s: %v", c.id, url, err)
		}
	}
}

// exec runs a program inside the container, with its environment and limits, as the container agent of ECS does for a
// health check.
func (c *container) exec(args ...string) (said string, code int) {
	c.t.Helper()
	cmd := exec.Command("runc", append([]string{"--root", c.state, "exec", c.id}, args...)...)
	output, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(output)), cmd.ProcessState.ExitCode()
}

func (c *container) terminate() {
	c.t.Helper()
	if output, err := exec.Command("runc", "--root", c.state, "kill", c.id, "TERM").CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %s", err, output)
	}
}

// wait waits for the container's end, which must be a good one.
func (c *container) wait() {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.t.Fatalf("%s does not end", c.id)
	}
	if !c.cmd.ProcessState.Success() {
		c.t.Errorf("%s ended with %v after SIGTERM", c.id, c.cmd.ProcessState)
	}
}

// status returns what the kernel says about the container's first process: the lines of /proc/PID/status by name.
func (c *container) status() map[string]string {
	c.t.Helper()
	pid := c.pid()
	content, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		c.t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// rootOptions returns with which options the kernel has mounted the container's root.
func (c *container) rootOptions() string {
	c.t.Helper()
	content, err := os.ReadFile("/proc/" + c.pid() + "/mountinfo")
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); fields[4] == "/" {
			return fields[5]
		}
	}
	c.t.Fatal("the container has no root")
	return ""
}

func (c *container) pid() string {
	c.t.Helper()
	output, err := exec.Command("runc", "--root", c.state, "state", c.id).Output()
	if err != nil {
		c.t.Fatal(err)
	}
	var state struct {
		Pid int `json:"pid"`
	}
	if err := json.Unmarshal(output, &state); err != nil {
		c.t.Fatal(err)
	}
	return strconv.Itoa(state.Pid)
}
