// Package sample makes pictures and documents that nobody took or wrote, for tests and
// measurements. It computes with integers alone, so that they are the same on every
// architecture.
package sample
