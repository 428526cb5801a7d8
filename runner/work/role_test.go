package work

import "os"

// roleVariable makes this test program something else.
const roleVariable = "DAVIT_TEST_ROLE"

func playRole(role string) int {
	_ = role
	return len(os.Args)
}
