package manifests

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestServices: each port of a Service is a port of its pods, and the public Services have the documented NodePorts.
func TestServices(t *testing.T) {
	each(t, func(t *testing.T, objects []object) {
		nodePorts := map[string]int32{}
		for _, s := range find[*corev1.Service](objects) {
			for _, port := range s.Spec.Ports {
				if port.NodePort != 0 {
					nodePorts[s.Name] = port.NodePort
				}
				if !leads(objects, s, port.TargetPort.StrVal, port.Port) {
					t.Errorf("service %s/%s: no pod has its port %s %d", s.Namespace, s.Name, port.TargetPort.String(), port.Port)
				}
			}
		}
		for name, want := range map[string]int32{"davit-console": 32000, "davit-calls": 32001, "davit-downloads": 32002, "davit-registry": 30500} {
			if nodePorts[name] != want {
				t.Errorf("service %s is at %d of the node, want %d", name, nodePorts[name], want)
			}
			delete(nodePorts, name)
		}
		if len(nodePorts) > 0 {
			t.Errorf("the node has these ports open too: %v", nodePorts)
		}
	})
}

func leads(objects []object, s *corev1.Service, name string, number int32) bool {
	for _, o := range objects {
		pod := o.template()
		if pod == nil || o.isJob() || o.GetNamespace() != s.Namespace || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, c := range pod.Spec.Containers {
			for _, port := range c.Ports {
				if port.Name == name && port.ContainerPort == number {
					return true
				}
			}
		}
	}
	return false
}

// TestReferences: the service accounts, ConfigMaps and volumes that pods name exist.
func TestReferences(t *testing.T) {
	each(t, func(t *testing.T, objects []object) {
		var names []string
		for _, o := range objects {
			names = append(names, o.String())
		}
		for _, o := range objects {
			pod := o.template()
			if pod == nil {
				continue
			}
			refer := func(kind, name string) {
				if want := kind + " " + o.GetNamespace() + "/" + name; !slices.Contains(names, want) {
					t.Errorf("%s: there is no %s", o, want)
				}
			}
			if name := pod.Spec.ServiceAccountName; name != "" {
				refer("ServiceAccount", name)
			}
			for _, v := range pod.Spec.Volumes {
				if v.ConfigMap != nil {
					refer("ConfigMap", v.ConfigMap.Name)
				}
			}
			for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
				for _, from := range c.EnvFrom {
					refer("ConfigMap", from.ConfigMapRef.Name)
				}
			}
		}
	})
}

// TestSettings: the gateway knows every setting in the manifests, because an unknown one ends it.
func TestSettings(t *testing.T) {
	config, err := os.ReadFile("../../gateway/config.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`env:"(DAVIT_\w+)"[^\n]*?(secret:"1")?`+"`").FindAllStringSubmatch(string(config), -1) {
		known[m[1]] = true
		if m[2] != "" {
			known[m[1]+"_FILE"] = true
		}
	}
	if len(known) < 20 {
		t.Fatalf("only %d settings were found in the gateway's source", len(known))
	}
	each(t, func(t *testing.T, objects []object) {
		for _, name := range settings(t, objects) {
			if strings.HasPrefix(name, "DAVIT_") && !known[name] {
				t.Errorf("%s is not a setting of the gateway", name)
			}
		}
	})
}

func settings(t *testing.T, objects []object) []string {
	t.Helper()
	var names []string
	for _, c := range find[*corev1.ConfigMap](objects) {
		if strings.HasPrefix(c.Name, "davit-settings-") {
			for name := range c.Data {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		t.Fatal("there are no settings")
	}
	for _, v := range gateway(t, objects).Spec.Template.Spec.Containers[0].Env {
		names = append(names, v.Name)
	}
	return names
}

func gateway(t *testing.T, objects []object) *appsv1.Deployment {
	t.Helper()
	for _, d := range find[*appsv1.Deployment](objects) {
		if d.Name == "davit-gateway" {
			return d
		}
	}
	t.Fatal("there is no gateway")
	return nil
}

// TestGatewayLeavesInPeace: a gateway has enough time to end its calls, and not all gateways are evicted at the same time.
func TestGatewayLeavesInPeace(t *testing.T) {
	each(t, func(t *testing.T, objects []object) {
		d := gateway(t, objects)
		var drain time.Duration
		for _, c := range find[*corev1.ConfigMap](objects) {
			if text := c.Data["DAVIT_DRAIN"]; text != "" {
				var err error
				if drain, err = time.ParseDuration(text); err != nil {
					t.Fatal(err)
				}
			}
		}
		pod := &d.Spec.Template.Spec
		stop := pod.Containers[0].Lifecycle.PreStop.Sleep.Seconds
		const rest = 20 * time.Second // to store results and close connections
		if needed := drain + time.Duration(stop)*time.Second + rest; drain == 0 || time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second < needed {
			t.Errorf("a gateway has %d s to stop, and needs %v", *pod.TerminationGracePeriodSeconds, needed)
		}
		budgets := find[*policyv1.PodDisruptionBudget](objects)
		if len(budgets) != 1 || budgets[0].Spec.MaxUnavailable.IntValue() != 1 || budgets[0].Spec.Selector.MatchLabels["app.kubernetes.io/name"] != "davit-gateway" {
			t.Error("there is no PodDisruptionBudget for the gateways")
		}
	})
}
