// Package spec reads, completes and checks the specs of functions and triggers that users write.
//
// DecodeFunctionSpec and DecodeTriggerSpec read JSON strictly and name each faulty place by its JSON pointer;
// CompleteFunction and CompleteTrigger fill the defaults in; CheckFunction and CheckTrigger say which values are not
// allowed. A spec that passed all three is stored as it is. The package does no I/O and does not know whether a
// function or a secret exists.
package spec
