package ring

const size = 2

func heat(k kettle) {
	size := size // a local of the same name ties no files together
	for range size {
		k.boil()
	}
}
