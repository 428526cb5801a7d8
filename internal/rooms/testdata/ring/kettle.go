// Package ring is measured by the test of rooms.
package ring

type kettle struct{ lid *lid }

func (k kettle) boil() {}
func (k kettle) pour() { k.lid.lift() }
