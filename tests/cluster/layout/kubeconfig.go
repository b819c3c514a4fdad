package layout

import (
	"fmt"
	"os"
	"strings"
)

// WriteKubeconfig writes one that acts as a user of these groups: the administrator, impersonating
// it. So the API server sees the user that it would see in a real cluster, and nobody has to sign
// certificates.
func WriteKubeconfig(folder Folder, path, user string, groups ...string) (string, error) {
	text, err := os.ReadFile(folder.Kubeconfig())
	if err != nil {
		return "", err
	}
	const token = "    token: "
	before, after, found := strings.Cut(string(text), token)
	if !found {
		return "", fmt.Errorf("%s holds no token", folder.Kubeconfig())
	}
	as := fmt.Sprintf("    as: %s\n    as-groups: [%s]\n", user, strings.Join(groups, ", "))
	return path, os.WriteFile(path, []byte(before+as+token+after), 0o600)
}
