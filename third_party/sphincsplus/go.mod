module github.com/katzenpost/sphincsplus

go 1.26
