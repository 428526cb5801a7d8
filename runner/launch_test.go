package runner

import (
	"cmp"
	"maps"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	own := []string{
		"PATH=/opt/bin:/bin", "LANG=C.UTF-8", "EMPTY=", "A=image", "HOME=/root", "TMPDIR=/tmp", "HOSTNAME=pod",
		"DAVIT_TOKEN=secret", "DAVIT_LAUNCH={}", "KUBERNETES_SERVICE_HOST=10.0.0.1", "=odd",
	}
	got := environment(own, map[string]string{"A": "function", "B": "2"})
	want := map[string]string{"PATH": "/opt/bin:/bin", "LANG": "C.UTF-8", "EMPTY": "", "A": "function", "B": "2"}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadLaunch(t *testing.T) {
	const whole = `{"runner":"r","function":"f","revision":1,"dir":"/d","gateways":["g:1"],"token":"in the launch"}`
	for _, test := range []struct{ name, launch, token, wants string }{
		{"whole", whole, "", ""},
		{"token beside it", whole, "beside", ""},
		{"no JSON", "{", "", "DAVIT_LAUNCH"},
		{"no revision", strings.Replace(whole, `"revision":1,`, "", 1), "", "revision"},
		{"no folder", strings.Replace(whole, `"dir":"/d",`, "", 1), "", "dir"},
		{"no gateways", strings.Replace(whole, `["g:1"]`, "[]", 1), "", "gateways"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := []string{"DAVIT_LAUNCH=" + test.launch, "DAVIT_TOKEN=" + test.token}
			launch, err := readLaunch("", nil, env)
			if test.wants != "" {
				if err == nil || !strings.Contains(err.Error(), test.wants) {
					t.Errorf("error %v, want one about %q", err, test.wants)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := cmp.Or(test.token, "in the launch"); launch.Token != want {
				t.Errorf("token %q, want %q", launch.Token, want)
			}
			if launch.Slots != 1 {
				t.Errorf("%d slots", launch.Slots)
			}
			for _, name := range []string{"DAVIT_LAUNCH", "DAVIT_TOKEN"} {
				if _, there := launch.Env[name]; there {
					t.Errorf("%s is in the commands' environment", name)
				}
			}
		})
	}
}
