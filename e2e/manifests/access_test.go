package manifests

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestRoles: there are exactly these roles, and none for the whole cluster.
func TestRoles(t *testing.T) {
	rule := func(group, resources, names, verbs string) rbacv1.PolicyRule {
		r := rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Split(resources, ","), Verbs: strings.Split(verbs, ",")}
		if names != "" {
			r.ResourceNames = []string{names}
		}
		return r
	}
	want := map[string][]rbacv1.PolicyRule{
		"davit-functions/davit-gateway": {
			rule("batch", "jobs", "", "create,get,list,watch,delete"),
			rule("", "pods,events", "", "list,watch"),
			rule("", "secrets", "", "create,update,delete"),
		},
		"davit/davit-setup": {
			rule("", "secrets", "", "create"),
			rule("", "secrets", "davit-docker-ca", "get"),
		},
		"davit-builder/davit-setup": {rule("", "secrets", "", "create")},
	}
	each(t, func(t *testing.T, objects []object) {
		got := map[string][]rbacv1.PolicyRule{}
		for _, r := range find[*rbacv1.Role](objects) {
			got[r.Namespace+"/"+r.Name] = r.Rules
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the roles are\n%v, want\n%v", got, want)
		}
		bound := map[string]string{}
		for _, b := range find[*rbacv1.RoleBinding](objects) {
			for _, s := range b.Subjects {
				bound[b.Namespace+"/"+b.RoleRef.Name] += fmt.Sprintf("%s %s/%s", s.Kind, s.Namespace, s.Name)
			}
		}
		wantBound := map[string]string{
			"davit-functions/davit-gateway": "ServiceAccount davit/davit-gateway",
			"davit/davit-setup":             "ServiceAccount davit/davit-setup",
			"davit-builder/davit-setup":     "ServiceAccount davit/davit-setup",
		}
		if !reflect.DeepEqual(bound, wantBound) {
			t.Errorf("bound is %v, want %v", bound, wantBound)
		}
		for _, o := range objects {
			if strings.HasPrefix(o.kind, "ClusterRole") {
				t.Errorf("there is a %s", o)
			}
		}
	})
}

// TestNoSecretIsInTheManifests: no manifest is a Secret, and davit-setup makes each one that pods refer to.
func TestNoSecretIsInTheManifests(t *testing.T) {
	made := map[string][]string{
		"davit": {"davit-admin", "davit-redis", "davit-store", "davit-store-download", "davit-store-root", "davit-docker-client"},
		builder: {"davit-dockerd"},
	}
	each(t, func(t *testing.T, objects []object) {
		if len(find[*corev1.Secret](objects)) > 0 {
			t.Error("there is a Secret in the manifests")
		}
		for _, o := range objects {
			pod := o.template()
			if pod == nil {
				continue
			}
			for _, v := range pod.Spec.Volumes {
				if v.Secret == nil {
					continue
				}
				if !slices.Contains(made[o.GetNamespace()], v.Secret.SecretName) {
					t.Errorf("%s: nothing makes the Secret %s", o, v.Secret.SecretName)
				}
				if mode := v.Secret.DefaultMode; mode == nil || *mode&0o007 != 0 {
					t.Errorf("%s: other users in the pod can read the Secret %s", o, v.Secret.SecretName)
				}
			}
		}
	})
}
