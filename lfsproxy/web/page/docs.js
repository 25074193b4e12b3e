// Renders openapi.json of the same proxy, with nothing of another host.
"use strict";

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  supportedSubmitMethods: ["get", "head", "post"],
});
