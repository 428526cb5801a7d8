package api

import (
	"github.com/gofiber/fiber/v2"

	"davit/internal/faas"
)

func (k *console) listSecrets(_ *fiber.Ctx, r *request) error {
	q := r.query()
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := k.Secrets.List(r.context(), limit, cursor)
	if err != nil {
		return err
	}
	return r.sendJSON(fiber.StatusOK, listOf(items, next))
}

func (k *console) getSecret(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.SecretName](c)
	if err != nil {
		return err
	}
	s, err := k.Secrets.Find(r.context(), name)
	if err != nil {
		return err
	}
	return r.sendJSON(fiber.StatusOK, s)
}

func (k *console) putSecret(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.SecretName](c)
	if err != nil {
		return err
	}
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	var sent struct {
		Value string `json:"value"`
	}
	if err := decodeJSON(body, &sent); err != nil {
		return err
	}
	created, err := k.Secrets.Put(r.lasting(), name, sent.Value)
	if err != nil {
		return err
	}
	s, err := k.Secrets.Find(r.context(), name)
	if err != nil {
		return err
	}
	if !created {
		return r.sendJSON(fiber.StatusOK, s)
	}
	r.respond().Set("Location", "/v1/secrets/"+string(name))
	return r.sendJSON(fiber.StatusCreated, s)
}

func (k *console) deleteSecret(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.SecretName](c)
	if err != nil {
		return err
	}
	if err := k.Secrets.Delete(r.lasting(), name); err != nil {
		return err
	}
	return r.sendNothing()
}
