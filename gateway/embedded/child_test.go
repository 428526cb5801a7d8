package embedded

const childMode = "DAVIT_EMBEDDED_TEST_CHILD"

func runChild(string) int { return 0 }
