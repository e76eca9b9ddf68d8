package image_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

var asked = flag.Bool("image", false, "build the images and run them; needs root, buildah, umoci, runc and a static busybox")

// tools are what the tests cannot do without.
var tools = []string{"buildah", "umoci", "runc", "busybox"}

// certificates is where Debian keeps the authorities that images are to trust.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// store is a place for images that ends with the test.
type store struct {
	t   *testing.T
	dir string
	env []string
}

// newStore skips the test unless everything is there, and says loudly what is not.
func newStore(t *testing.T) *store {
	t.Helper()
	if !*asked {
		t.Skip("NOT TESTED: images are built and run by `make image-test` only")
	}
	var missing []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	if _, err := os.Stat(certificates); err != nil {
		missing = append(missing, certificates)
	}
	if len(missing) > 0 {
		t.Skipf("NOT TESTED: images cannot be built and run, this machine lacks %q", missing)
	}
	s := &store{t: t, dir: t.TempDir()}
	config := fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n", s.driver(), s.path("graph"), s.path("run"))
	s.write("storage.conf", config)
	s.env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+s.path("storage.conf"), "BUILDAH_ISOLATION=chroot")
	return s
}

// driver is how layers are kept: stacked where the kernel can, which is much faster, and copied elsewhere.
func (s *store) driver() string {
	var dirs []any
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		dirs = append(dirs, s.path(name))
		if err := os.Mkdir(s.path(name), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dirs[:3]...)
	if syscall.Mount("overlay", s.path("merged"), "overlay", 0, options) != nil {
		return "vfs"
	}
	if err := syscall.Unmount(s.path("merged"), 0); err != nil {
		s.t.Fatal(err)
	}
	return "overlay"
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *store) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// do runs a command and returns what it printed, without the last line's end.
func (s *store) do(name string, args ...string) string {
	s.t.Helper()
	begun := time.Now()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &errs)
	}
	if took := time.Since(begun); took > time.Second {
		s.t.Logf("%s %s: %v", name, args[0], took.Round(100*time.Millisecond))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// makeGolang makes what the Dockerfile takes for the image with the toolchain: that of this machine, whose programs are
// static, and a shell. Modules come from this machine's cache, and are still checked against go.sum.
func (s *store) makeGolang(from string) {
	s.t.Helper()
	goroot := s.do("go", "env", "GOROOT")
	container := s.do("buildah", "from", "scratch")
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		s.t.Fatal(err)
	}
	s.do("buildah", "copy", container, busybox, "/bin/busybox")
	s.do("buildah", "run", container, "/bin/busybox", "--install", "-s", "/bin")
	s.do("buildah", "run", container, "/bin/mkdir", "-m", "1777", "/tmp")
	s.do("buildah", "copy", container, certificates, certificates)
	for _, part := range []string{"bin", "pkg", "src", "go.env", "VERSION"} {
		s.do("buildah", "copy", container, filepath.Join(goroot, part), "/usr/local/go/"+part)
	}
	s.do("buildah", "config",
		"--env", "PATH=/usr/local/go/bin:/bin", "--env", "GOPATH=/go", "--env", "GOTOOLCHAIN=local", "--env", "HOME=/root",
		"--env", "GOPROXY=file:///modules", "--env", "GONOSUMDB=*", container)
	s.do("buildah", "commit", "--rm", container, from)
}

// image is a built image, unpacked.
type image struct {
	target, arch string
	bundle       string // directory with config.json and rootfs, for runc
	packed       int64  // bytes of its layers as a registry holds them
	unpacked     int64  // bytes of its files
	config       imageConfig
}

// imageConfig is the part of an image's configuration that is looked at here.
type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		User       string
		Env        []string
		Entrypoint []string
		Cmd        []string
		StopSignal string
		Volumes    map[string]struct{}
	} `json:"config"`
}

// build builds one target of the Dockerfile.
func (s *store) build(target, arch string) *image {
	s.t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		s.t.Fatal(err)
	}
	name := "seri-" + target + "-" + arch
	modules := filepath.Join(s.do("go", "env", "GOMODCACHE"), "cache", "download")
	s.do("buildah", "bud", "--isolation", "chroot", "--pull-never", "--layers",
		"--platform", "linux/"+arch, "--build-arg", "BUILDPLATFORM=linux/"+runtime.GOARCH, "--build-arg", "VERSION=v0-test",
		"-v", modules+":/modules:ro", "--target", target, "-t", name, "-f", filepath.Join(root, "Dockerfile"), root)
	s.do("buildah", "push", name, "oci:"+s.path(name)+":latest")
	s.do("umoci", "unpack", "--image", s.path(name)+":latest", s.path(name+"-bundle"))
	i := &image{target: target, arch: arch, bundle: s.path(name + "-bundle")}
	var inspected struct{ OCIv1 imageConfig }
	if err := json.Unmarshal([]byte(s.do("buildah", "inspect", "--type", "image", name)), &inspected); err != nil {
		s.t.Fatal(err)
	}
	i.config = inspected.OCIv1
	i.packed = size(s.t, filepath.Join(s.path(name), "blobs"), nil)
	i.unpacked = size(s.t, i.rootfs(), nil)
	s.t.Logf("%s for %s: %.1f MB to pull, %.1f MB unpacked", target, arch, float64(i.packed)/1e6, float64(i.unpacked)/1e6)
	return i
}

func (i *image) rootfs() string { return filepath.Join(i.bundle, "rootfs") }

// files lists what is in the image, but for directories.
func (i *image) files(t *testing.T) (names []string) {
	t.Helper()
	size(t, i.rootfs(), func(name string) { names = append(names, strings.TrimPrefix(name, i.rootfs())) })
	return names
}

// size adds up the files below dir.
func size(t *testing.T, dir string, each func(name string)) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		sum += info.Size()
		if each != nil {
			each(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// program opens the image's program.
func (i *image) program(t *testing.T) *elf.File {
	t.Helper()
	file, err := elf.Open(filepath.Join(i.rootfs(), i.config.Config.Entrypoint[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}
