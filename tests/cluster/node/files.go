package node

import (
	"embed"
	"os"
	"path/filepath"
	"text/template"

	"leasehold.example/cluster/layout"
)

//go:embed files
var templates embed.FS

// values are what differs between nodes and clusters, as the files in files/ name it.
type values struct {
	Name, Address, PodRange, AllPods, Cgroup, DNS, PauseImage, PluginFolder, Folder string
}

// writeFiles writes the settings of all processes of the node.
func (n *node) writeFiles() error {
	all, err := template.ParseFS(templates, "files/*")
	if err != nil {
		return err
	}
	v := values{
		Name:         n.Name,
		Address:      n.Address,
		PodRange:     n.PodRange,
		AllPods:      layout.PodRange,
		Cgroup:       n.cluster.Cgroup(n.Name),
		DNS:          layout.ControlAddress,
		PauseImage:   layout.PauseImage,
		PluginFolder: layout.PluginFolder,
		Folder:       string(n.folder),
	}
	// A folder of its own: containerd takes what it finds there for plugins' settings.
	if err := os.Mkdir(n.folder.Path("cni"), 0o755); err != nil {
		return err
	}
	for _, t := range all.Templates() {
		path := n.folder.Path(t.Name())
		if filepath.Ext(path) == ".conflist" {
			path = n.folder.Path("cni", t.Name())
		}
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := t.Execute(file, v); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}
