package images

import (
	"crypto/rand"
	"fmt"
	"os"
	"path"
)

// writeFile writes data to name below directory, both made as needed, so that a reader sees the old file or the whole
// new one. A process that dies in between leaves a file whose name begins with ".tmp-".
func writeFile(directory, name string, data []byte) (err error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}

	temporary := path.Join(path.Dir(name), ".tmp-"+rand.Text())
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			root.Remove(temporary)
		}
	}()
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync() // the task's success must not outlive its file
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return root.Rename(temporary, name)
}
