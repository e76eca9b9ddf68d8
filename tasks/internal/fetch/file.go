package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/seri-queue/seri"
)

// openFile opens the file that u names, below directory and nowhere else: "file:///srv/data/a.csv" with directory
// /srv/data, or "file:a.csv" relative to it. A symbolic link that leads out of the directory is refused by [os.Root].
func openFile(directory string, u *url.URL) (*Source, error) {
	if directory == "" {
		return nil, seri.Permanent(errors.New("read source: this worker reads no files; give an http or https URL (the option AllowFiles opens a directory)"))
	}
	name, err := fileName(directory, u)
	if err != nil {
		return nil, seri.Permanent(fmt.Errorf("read source: %w", err))
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	defer root.Close()

	// Looked at before it is opened: opening a FIFO would wait for somebody to write.
	info, err := root.Stat(name)
	if err != nil {
		return nil, seri.Permanent(fmt.Errorf("read source: %w", err))
	}
	if !info.Mode().IsRegular() {
		return nil, seri.Permanent(fmt.Errorf("read source: %s is not a file: %s", name, fs.FormatFileInfo(info)))
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, seri.Permanent(fmt.Errorf("read source: %w", err))
	}
	return &Source{file, info.Size()}, nil
}

// fileName returns the path that u names, relative to directory.
func fileName(directory string, u *url.URL) (string, error) {
	if u.Host != "" && u.Host != "localhost" {
		return "", fmt.Errorf("a file: URL cannot name the host %q", u.Host)
	}
	name := u.Path
	if u.Opaque != "" { // "file:a.csv"
		unescaped, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return "", err
		}
		name = unescaped
	}
	name = filepath.FromSlash(name)
	if filepath.IsAbs(name) {
		base, err := filepath.Abs(directory)
		if err != nil {
			return "", err
		}
		if name, err = filepath.Rel(base, name); err != nil {
			return "", err
		}
	}
	if !filepath.IsLocal(name) {
		return "", errors.New("the file is not below the directory that this worker may read (option AllowFiles)")
	}
	return name, nil
}
