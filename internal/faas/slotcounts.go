package faas

// SlotCounts counts the slots of one revision that were started in one way.
type SlotCounts struct {
	Runners  int `json:"runners"`  // connected
	Free     int `json:"free"`     // a claim would get one
	Busy     int `json:"busy"`     // taken, by any gateway
	Starting int `json:"starting"` // of runners that were never ready yet
}
