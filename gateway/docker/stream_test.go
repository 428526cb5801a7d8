package docker

import (
	"bytes"
	"reflect"
	"testing"
)

func TestSteps(t *testing.T) {
	var log bytes.Buffer
	s := newSteps(&log, 0)
	for _, text := range []string{
		"Step 1/3 : FROM base:1\n", " ---> 111111111111\n", "Step 2/3 : RUN echo\n", " ---> Running in 222222222222\n",
		"---> not ours\n", " ---> 1234\n", "out", "put\n", "Removing intermediate container 222222222222\n", " ---> Removed intermediate container 222222222222\n", " ---> 333333333333\n",
		"Step 3/3 : CMD [\"x\"]\n", " ---> Using cache\n", " ---> 444444444444\n", "Successfully built 444444444444\n", "Successfully tagged x:1\n",
	} {
		if err := s.message(&message{Stream: text}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "Step 1/3 : FROM base:1\nStep 2/3 : RUN echo\n---> not ours\n ---> 1234\noutput\nStep 3/3 : CMD [\"x\"]\n"; log.String() != want {
		t.Errorf("the log is\n%s", &log)
	}
	if want := []string{"333333333333", "444444444444"}; !reflect.DeepEqual(s.made, want) {
		t.Errorf("made %q", s.made)
	}
}
