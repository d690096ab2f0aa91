// Starts Swagger UI on /docs. A file of its own: the page's policy runs no other script.
"use strict";

(() => {
  const place = document.getElementById("swagger-ui");
  document.body.style.margin = "0";
  SwaggerUIBundle({
    url: place.dataset.document,
    dom_id: "#swagger-ui",
    deepLinking: true,
    persistAuthorization: false,
    defaultModelsExpandDepth: 0,
  });
})();
