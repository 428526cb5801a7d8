package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
)

// The labels of Jobs, pods and Secrets. Network policies select pods by LabelEgress.
const (
	LabelFunction   = "davit.dev/function"
	LabelRevision   = "davit.dev/revision"
	LabelStart      = "davit.dev/start"      // job, standby or warm
	LabelInvocation = "davit.dev/invocation" // only on the start job
	LabelEgress     = "davit.dev/egress"     // none or internet

	labelName      = "app.kubernetes.io/name"
	labelPartOf    = "app.kubernetes.io/part-of"
	labelComponent = "app.kubernetes.io/component"
	labelManagedBy = "app.kubernetes.io/managed-by"

	nameRunner = "davit-runner"
	partOf     = "davit"
	component  = "runner"
	managedBy  = "davit-gateway"

	// selector finds every Job and pod of this package, and nothing else.
	selector = labelManagedBy + "=" + managedBy + "," + labelComponent + "=" + component
)

// labelsOf returns the labels of a runner's Job and pod.
func labelsOf(rev *faas.Revision, start faas.Start, id faas.InvocationID) map[string]string {
	labels := map[string]string{
		labelName: nameRunner, labelPartOf: partOf, labelComponent: component, labelManagedBy: managedBy,
		LabelFunction: string(rev.Function), LabelRevision: strconv.Itoa(int(rev.Number)),
		LabelStart: string(start), LabelEgress: egressOf(&rev.Spec),
	}
	if id != "" {
		labels[LabelInvocation] = string(id)
	}
	return labels
}

func egressOf(spec *faas.FunctionSpec) string {
	if spec.Egress == faas.EgressInternet {
		return faas.EgressInternet
	}
	return faas.EgressNone
}

// identity is the content of the labels of a Job or pod.
type identity struct {
	ref        faas.RevisionRef
	start      faas.Start
	invocation faas.InvocationID
}

var errNotRunner = errors.New("it is not labelled as a runner")

// identify reads the labels of a Job or pod. It returns an error if they are not those of a runner, because other
// programs may write the labels that the watches select by.
func identify(o metav1.Object) (identity, error) {
	labels := o.GetLabels()
	number, err := strconv.Atoi(labels[LabelRevision])
	if err != nil || labels[LabelFunction] == "" {
		return identity{}, fmt.Errorf("identify %s: %w", o.GetName(), errNotRunner)
	}
	return identity{
		ref:        faas.RevisionRef{Function: faas.FunctionName(labels[LabelFunction]), Number: faas.RevisionNumber(number)},
		start:      faas.Start(labels[LabelStart]),
		invocation: faas.InvocationID(labels[LabelInvocation]),
	}, nil
}

// kept returns the key of the index byKept.
func (i identity) kept() string { return keptKey(i.ref, i.start) }

func keptKey(ref faas.RevisionRef, start faas.Start) string {
	return string(start) + "/" + ref.String()
}

// callJob returns the name of an invocation's Job. The name is fixed, so that gateways that launch the same invocation
// create one Job.
func callJob(id faas.InvocationID) string { return "call-" + string(id) }

// keptJob returns the name of the nth Job of a revision's standby or warm runners. The name is fixed, so that gateways
// that scale alike create the same Jobs.
func keptJob(ref faas.RevisionRef, start faas.Start, n int) string {
	return fmt.Sprintf("%s-%s-%d-%d", start, ref.Function, ref.Number, n)
}

// tokenSecret returns the name of the Secret with the token of a revision's runners.
func tokenSecret(ref faas.RevisionRef) string {
	return fmt.Sprintf("runner-%s-%d", ref.Function, ref.Number)
}

// valueSecret returns the name of the Secret with a user's value. It is not the user's name for it, because that may
// contain capitals and underscores.
func valueSecret(name string) string {
	sum := sha256.Sum256([]byte(name))
	readable := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	readable = strings.Trim(readable[:min(len(readable), 40)], "-")
	return strings.Trim("value-"+readable, "-") + "-" + hex.EncodeToString(sum[:8])
}

const (
	containerName = "runner"
	tokenKey      = "token" // in a token Secret
	valueKey      = "value" // in a value Secret
)

func pointer[T any](v T) *T { return &v }

// jobName returns the name of a pod's Job; "": the pod has none.
func jobName(p *corev1.Pod) string {
	for _, owner := range p.OwnerReferences {
		if owner.Kind == "Job" {
			return owner.Name
		}
	}
	return ""
}
