package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// layer is a tar in a temporary file.
type layer struct {
	path   string
	digest string
}

func (l *layer) remove() {
	os.Remove(l.path)
}

// makeLayer makes it from all items, in their order.
func makeLayer(items []string) (*layer, error) {
	file, err := os.CreateTemp("", "layer-")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l := &layer{path: file.Name()}
	hash := sha256.New()
	archive := newArchive(io.MultiWriter(file, hash))
	for _, item := range items {
		if err := add(archive, item); err != nil {
			l.remove()
			return nil, fmt.Errorf("%s: %w", item, err)
		}
	}
	if err := errors.Join(archive.close(), file.Close()); err != nil {
		l.remove()
		return nil, err
	}
	l.digest = hex.EncodeToString(hash.Sum(nil))
	return l, nil
}

// add adds what one item says.
func add(archive *archive, item string) error {
	parts := strings.Split(item, ":")
	if len(parts) < 2 || len(parts) > 3 || !strings.HasPrefix(parts[1], "/") {
		return errors.New("it is SOURCE:/TARGET or SOURCE:/TARGET:MODE")
	}
	source, target := parts[0], parts[1]
	mode := int64(-1)
	if len(parts) == 3 {
		var err error
		if mode, err = strconv.ParseInt(parts[2], 8, 32); err != nil {
			return err
		}
	}
	if source == "" {
		if mode < 0 {
			mode = 0o755
		}
		return archive.folder(target, mode)
	}
	// A link that is named itself means what it leads to, as Debian's libraries have links for names.
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	return filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		wanted := int64(info.Mode().Perm())
		if relative == "." && mode >= 0 {
			wanted = mode
		}
		name := filepath.Join(target, relative)
		switch info.Mode().Type() {
		case 0:
			return archive.file(name, path, wanted)
		case fs.ModeDir:
			return archive.folder(name, wanted)
		case fs.ModeSymlink:
			return archive.link(name, path)
		default:
			return fmt.Errorf("%s is neither a file nor a folder nor a link", path)
		}
	})
}

// archive writes a tar in which everything belongs to root and is of the same time.
type archive struct {
	tar *tar.Writer
	// Folders that are in it already.
	folders map[string]bool
}

func newArchive(to io.Writer) *archive {
	return &archive{tar: tar.NewWriter(to), folders: map[string]bool{"": true, ".": true}}
}

func (a *archive) close() error {
	return a.tar.Close()
}

// parents adds the folders above a name that aren't there yet.
func (a *archive) parents(name string) error {
	parent := filepath.Dir(inside(name))
	if a.folders[parent] {
		return nil
	}
	return a.folder(parent, 0o755)
}

func (a *archive) folder(name string, mode int64) error {
	name = inside(name)
	if a.folders[name] {
		return nil
	}
	if err := a.parents(name); err != nil {
		return err
	}
	a.folders[name] = true
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
}

func (a *archive) link(name, path string) error {
	to, err := os.Readlink(path)
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeSymlink, Name: inside(name), Linkname: to, Mode: 0o777}
	return errors.Join(a.parents(name), a.tar.WriteHeader(header))
}

func (a *archive) bytes(name string, content []byte) error {
	if err := a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := a.tar.Write(content)
	return err
}

func (a *archive) file(name, path string, mode int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := a.parents(name); err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{Name: inside(name), Mode: mode, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(a.tar, file)
	return err
}

// inside is a name as a tar holds it, without a slash in front.
func inside(name string) string {
	return strings.TrimPrefix(filepath.Clean("/"+name), "/")
}
