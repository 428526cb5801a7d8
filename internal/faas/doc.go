// Package faas is Davit's vocabulary: functions, revisions, triggers,
// invocations, their reasons and errors, and the rules that hold for them.
// It does no I/O, reads no clock and imports nothing of Davit's, so that every
// other package can speak its words. Start at Invocation, the one thing that
// everything else exists for.
//
// What users send is read by DecodeFunctionSpec and DecodeTriggerSpec, gets its
// defaults by Complete and is judged by Check; Table finds the trigger for a
// request; ParsePlaceholder and SplitWords read commands, the Form functions the
// words of POST /register.
package faas
