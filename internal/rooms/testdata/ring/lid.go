package ring

type lid struct{ of *kettle }

func (l *lid) lift() { l.of.boil() }
