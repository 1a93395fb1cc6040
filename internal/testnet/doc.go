// Package testnet runs a whole network on one machine: three authorities, three
// mixes, an entry, an exit, a gateway and a receiving mail server (package
// sink), each a process of its own of the one program, on loopback, in a
// directory of its own. `sourdine demo` shows it and whole-program tests use it (users,
// wire, nodes, faults, authorities and mixed, by theme, over trial):
//
//	n, err := testnet.Start(ctx, testnet.Options{Binary: path})
//	defer n.Close()
//	err = n.Submit("me@home.example", []string{"you@far.example"}, message)
//	err = n.Wait(ctx, "arrival", func() (bool, error) { … n.Received() … })
//
// It makes everything with the commands that people use, and edits only what
// they would edit in a configuration file. Any process can be killed, stopped,
// paused and started again ([Network.Process]), and what connects to one can be
// watched, slowed, cut or thinned out (package tap, [Options.Taps]).
//
// Processes end with the one that started them, whatever ends it, and so does
// the directory that Start made. Linux only (prctl(2), /proc).
//
// It may import gateway and what that imports, sink and tap. The product's
// packages never import it; cmd/sourdine does, for demo.
package testnet
