package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"
)

// handler answers one request or returns why not.
type handler func(c *fiber.Ctx, r *request) error

// route adds a handler for a template such as /v1/functions/{name}; a last
// {path} takes all that follows.
func route(app *fiber.App, method, template string, h handler) {
	pattern := strings.NewReplacer("{path}", "*", "{", ":", "}", "").Replace(template)
	app.Add(method, pattern, func(c *fiber.Ctx) error {
		r := requestOf(c)
		r.route = template
		return h(c, r)
	})
}

// get adds a handler for GET and HEAD.
func get(app *fiber.App, template string, h handler) {
	route(app, fiber.MethodGet, template, h)
	route(app, fiber.MethodHead, template, h)
}
