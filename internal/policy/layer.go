package policy

import (
	"cmp"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// layer lays a value and its ceiling over what the level above has. A value
// without a ceiling beside it is its own, unless a level above names a higher
// one; a ceiling alone also bounds the inherited value.
func layer[T cmp.Ordered](c *compiler, path, name string, base Bound[T], value, ceiling *T) Bound[T] {
	return layerAs(c, path, name, base, value, ceiling, func(v T) string { return fmt.Sprint(v) })
}

// layerAs is layer with a way to write the values.
func layerAs[T cmp.Ordered](c *compiler, path, name string, base Bound[T], value, ceiling *T, write func(T) string) Bound[T] {
	out := base
	if value != nil {
		out.Default = *value
	}
	switch {
	case ceiling != nil && value != nil && *ceiling < *value:
		c.failf(path+"max."+name, "the ceiling %s is below the default %s beside it", write(*ceiling), write(*value))
	case ceiling != nil:
		out.Max, out.named = *ceiling, true
		out.Default = min(out.Default, out.Max)
	case value != nil && base.named:
		out.Max = max(base.Max, out.Default)
	case value != nil:
		out.Max = out.Default
	}
	return out
}

// override gives the value if the file has one.
func override[T any](base T, value *T) T {
	if value == nil {
		return base
	}
	return *value
}

func duration(d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v := d.AsDuration()
	return &v
}

func widen(n *int32) *int64 {
	if n == nil {
		return nil
	}
	v := int64(*n)
	return &v
}

func number(n *int32) *int {
	if n == nil {
		return nil
	}
	v := int(*n)
	return &v
}
