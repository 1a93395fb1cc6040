// Package forget wipes what Go leaves in memory when secrets were used: keys that
// the standard library keeps behind types that cannot be wiped, and what functions
// that returned have left on the stack.
package forget

import (
	"crypto/mlkem"
	"reflect"
	"unsafe"
)

// DecapsulationKey wipes a key of crypto/mlkem, which is of no use afterwards. It
// reports false, and changes nothing, if this version of the standard library keeps
// keys in another way than behind one pointer to plain memory.
func DecapsulationKey(k *mlkem.DecapsulationKey768) bool {
	v := reflect.ValueOf(k).Elem()
	if v.NumField() != 1 || v.Field(0).Kind() != reflect.Pointer || !plain(v.Field(0).Type().Elem()) {
		return false
	}
	if p := v.Field(0).UnsafePointer(); p != nil {
		clear(unsafe.Slice((*byte)(p), v.Field(0).Type().Elem().Size()))
	}
	return true
}

// plain says whether a type is numbers alone, without a pointer.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}
