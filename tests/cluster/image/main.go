// Command image makes a container image, as a docker-archive with one layer, from files and
// folders.
//
//	image --name NAME --out TAR [--entrypoint JSON] [--env NAME=VALUE]... [--user UID] [--workdir DIR] ITEM...
//
// An ITEM is SOURCE:TARGET or SOURCE:TARGET:MODE, MODE being octal. A folder is taken with all that
// is in it, and its MODE is for itself only. Without SOURCE, as in `:/tmp:1777`, TARGET is an empty
// folder. All belongs to root, and has no time of its own: the same content makes the same image.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
)

// settings is what a container is started with.
type settings struct {
	User       string   `json:"User,omitempty"`
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	WorkingDir string   `json:"WorkingDir,omitempty"`
}

type rootfs struct {
	Type  string   `json:"type"`
	Diffs []string `json:"diff_ids"`
}

type config struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	Config       settings `json:"config"`
	RootFS       rootfs   `json:"rootfs"`
}

type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var s settings
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	name := flags.String("name", "", "`NAME:TAG` of the image")
	out := flags.String("out", "", "`TAR` to write")
	flags.StringVar(&s.User, "user", "", "`UID` that it runs as")
	flags.StringVar(&s.WorkingDir, "workdir", "", "`DIR` that it starts in")
	flags.Func("env", "`NAME=VALUE` of its environment; may be repeated", func(value string) error {
		s.Env = append(s.Env, value)
		return nil
	})
	flags.Func("entrypoint", "`JSON` list of the words of its command", func(value string) error {
		return json.Unmarshal([]byte(value), &s.Entrypoint)
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" || *out == "" || flags.NArg() == 0 {
		return errors.New("it needs --name, --out and at least one SOURCE:TARGET")
	}
	layer, err := makeLayer(flags.Args())
	if err != nil {
		return err
	}
	defer layer.remove()
	return write(*out, *name, s, layer)
}

// write puts the archive together, all or nothing.
func write(out, name string, s settings, layer *layer) error {
	about, err := json.Marshal(config{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Config:       s,
		RootFS:       rootfs{Type: "layers", Diffs: []string{"sha256:" + layer.digest}},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(about))
	layerName := layer.digest + "/layer.tar"
	index, err := json.Marshal([]manifest{{Config: configName, RepoTags: []string{name}, Layers: []string{layerName}}})
	if err != nil {
		return err
	}
	unfinished := out + ".new"
	file, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := newArchive(file)
	if err := errors.Join(
		archive.bytes("manifest.json", index),
		archive.bytes(configName, about),
		archive.file(layerName, layer.path, 0o644),
		archive.close(),
		file.Close(),
	); err != nil {
		return err
	}
	return os.Rename(unfinished, out)
}
